/**
 * The channels that the claims of a verified token let its user join: `sub` the user's own channel, `sid` that of the
 * session, and `channels` the names and patterns that it lists. A malformed `sub` or `channels` refuses the token:
 * ignoring it would be guessing what the issuer meant. `sid` is a claim of OpenID Connect and may hold anything; one
 * that is not an id is ignored.
 */
import { nameProblem } from '@message-push/protocol';
import { ChannelSet, patternsProblem } from '../channel-set.ts';
import type { UserGrant } from '../principal.ts';
import { TokenRefused, type VerifiedToken } from './jwt-verifier.ts';

/** The same limit as in a stream's URL. */
const MAX_ID_BYTES = 128;

/** Throws `TokenRefused`. */
export function userOfToken({ claims, tokenId, issuedAtMs, expiresAtMs }: VerifiedToken): UserGrant {
  const { sub, sid, channels: listed = [] } = claims;
  const userId = idOf(sub);
  if (userId instanceof Error) throw new TokenRefused('unusable_claims', `its sub claim ${userId.message}`);
  const sessionId = idOf(sid);
  const patterns = typeof listed === 'string' ? [listed] : listed;
  const problem = patternsProblem(patterns);
  if (problem !== undefined) throw new TokenRefused('unusable_claims', `its channels claim ${problem}`);
  return {
    credential: 'jwt',
    userId,
    joins: ownChannels(userId, sessionId instanceof Error ? undefined : sessionId).union(
      ChannelSet.ofPatterns(patterns as string[]),
    ),
    tokenId,
    parentTokenIds: [],
    issuedAtMs,
    expiresAtMs,
  };
}

export function ownChannels(userId: string | undefined, sessionId: string | undefined): ChannelSet {
  const names: string[] = [];
  if (userId !== undefined) names.push(`user:${userId}`);
  if (sessionId !== undefined) names.push(`session:${sessionId}`);
  return ChannelSet.ofNames(names);
}

/** A number counts as its digits: many back ends put the key of a database row there. */
function idOf(value: unknown): string | undefined | Error {
  if (value === undefined) return undefined;
  const id = typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value;
  if (typeof id !== 'string') return new Error('must be text');
  const problem = nameProblem(id, MAX_ID_BYTES);
  return problem === undefined ? id : new Error(problem);
}
