/** The URL of the service on its own machine, for examples. */
import type { ApiOptions } from '../api-options.ts';

export function localUrl({ scheme = 'http', port }: ApiOptions['info']): string {
  return `${scheme}://localhost:${port}`;
}
