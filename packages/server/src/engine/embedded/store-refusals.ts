/** What publishers, readers and operators are answered when the store has failed. */
import type { RequestError } from '../../core/errors.ts';
import { engineUnavailable, storageFull } from '../refusals.ts';
import type { StoreError } from './store/store-client.ts';

export function storeRefusal(what: string, error: StoreError): RequestError {
  return error.failure === 'full'
    ? storageFull(`${what}: ${error.message}`, error)
    : engineUnavailable(what, error);
}

export function storeUnreadable(error: StoreError): RequestError {
  return engineUnavailable('history could not be read', error);
}
