/**
 * What a principal may do, as pure functions that every guarded operation calls. The `demand…` forms throw the client's
 * error: 401 when it has shown no credential, 403 when its credential does not suffice.
 */
import { BROADCAST_CHANNEL } from '@message-push/protocol';
import { RequestError, shownValue } from '../core/errors.ts';
import type { Principal, Scope } from './principal.ts';

/** Returns those of `channels` that may not be joined. Every stream may join the broadcast channel. */
export function refusedJoins({ joins }: Principal, channels: readonly string[]): string[] {
  return channels.filter((channel) => channel !== BROADCAST_CHANNEL && !joins.has(channel));
}

export function mayJoin(principal: Principal, channels: readonly string[]): boolean {
  return refusedJoins(principal, channels).length === 0;
}

export function mayPublish({ scopes, channels: reach }: Principal, channels: readonly string[]): boolean {
  return scopes.has('publish') && channels.every((channel) => reach.has(channel));
}

export function mayBroadcast({ scopes }: Principal): boolean {
  return scopes.has('broadcast');
}

/** Reading covers a channel's history and streams. A channel that may be joined may be read: joining replays it too. */
export function mayRead({ scopes, channels, joins }: Principal, channel: string): boolean {
  if (channel === BROADCAST_CHANNEL) return scopes.has('read') || !joins.isEmpty;
  return joins.has(channel) || (scopes.has('read') && channels.has(channel));
}

/** Reading all channels with a prefix, and who is on them; the empty prefix stands for every channel. */
export function mayReadAllOf({ scopes, channels }: Principal, beginning = ''): boolean {
  return scopes.has('read') && channels.hasAllOf(beginning);
}

/** Managing covers ending the streams on `channel` (`connection:…`, `user:…`), or all streams without one. */
export function mayManage({ scopes, channels }: Principal, channel?: string): boolean {
  return scopes.has('manage') && (channel === undefined ? channels.isAll : channels.has(channel));
}

export function demandJoin(principal: Principal, channels: readonly string[]): void {
  const refused = refusedJoins(principal, channels);
  if (refused.length > 0) throw refusal(principal, `join ${listed(refused)}`);
}

export function demandPublish(principal: Principal, channels: readonly string[]): void {
  demandScope(principal, 'publish');
  const refused = channels.filter((channel) => !principal.channels.has(channel));
  if (refused.length > 0) throw refusal(principal, `publish to ${listed(refused)}`);
}

/** The check that is possible before the body is read. `demandPublish` then checks each message. */
export function demandPublishOf(principal: Principal, kind: 'send' | 'broadcast' | 'batch'): void {
  demandScope(principal, kind === 'broadcast' ? 'broadcast' : 'publish');
}

export function demandRead(principal: Principal, channel: string): void {
  if (!mayRead(principal, channel)) throw refusal(principal, `read ${listed([channel])}`);
}

export function demandReadAllOf(principal: Principal, beginning = ''): void {
  demandScope(principal, 'read');
  if (mayReadAllOf(principal, beginning)) return;
  throw refusal(principal, `read all of ${listed([`${beginning}*`])}`);
}

export function demandManage(principal: Principal, channel?: string): void {
  demandScope(principal, 'manage');
  if (mayManage(principal, channel)) return;
  throw refusal(principal, `manage ${channel === undefined ? 'all channels' : listed([channel])}`);
}

function demandScope(principal: Principal, scope: Scope): void {
  if (!principal.scopes.has(scope)) throw refusal(principal, `do this: it needs the scope ${scope}`);
}

const MAX_LISTED = 3;

function listed(channels: readonly string[]): string {
  const shown = channels.slice(0, MAX_LISTED).map((channel) => `"${String(shownValue(channel))}"`);
  const more = channels.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

const OWNERS = { none: '', key: 'this API key', jwt: 'this token', ticket: 'this ticket' } as const;

function refusal({ credential }: Principal, act: string): RequestError {
  if (credential === 'none') return new RequestError('unauthorized', `a credential is required to ${act}`);
  return new RequestError('forbidden', `${OWNERS[credential]} may not ${act}`);
}
