/**
 * Reads a request for a ticket and decides what the ticket holds. A back end with the scope `manage` makes tickets
 * for any user within the channels of its key. Users make tickets for themselves, with at most the channels and the
 * lifetime of their own credential.
 */
import { nameProblem } from '@message-push/protocol';
import { type FieldProblem, RequestError, shownValue, validationFailed } from '../../core/errors.ts';
import { ChannelSet, patternsProblem } from '../channel-set.ts';
import type { Principal } from '../principal.ts';
import { ownChannels } from '../tokens/jwt-user.ts';
import type { Ticket } from './tickets.ts';

/** The parsed JSON of the body, not yet validated. */
export interface TicketBody {
  readonly user_id?: unknown;
  readonly session_id?: unknown;
  readonly channels?: unknown;
  /** Seconds. */
  readonly ttl?: unknown;
  readonly origin?: unknown;
}

export interface TicketRules {
  readonly ttlMs: number;
  readonly maxTtlMs: number;
}

export type TicketPlan = Omit<Ticket, 'credential'>;

/** The validated body. */
export interface TicketWish {
  readonly userId: string | undefined;
  readonly sessionId: string | undefined;
  /** Names and patterns. */
  readonly channels: readonly string[] | undefined;
  readonly ttlMs: number | undefined;
  readonly origin: string | undefined;
}

const MAX_ID_BYTES = 128;
const FIELDS: readonly string[] = [
  'user_id',
  'session_id',
  'channels',
  'ttl',
  'origin',
] satisfies (keyof TicketBody)[];
const SECOND_MS = 1000;

export interface TicketContext {
  readonly tokenId: string;
  readonly nowMs: number;
  /** Origin of the page that asks, if a page does. */
  readonly pageOrigin: string | undefined;
  /** Channels that the application lets the user join, beyond their credential. */
  readonly granted?: ChannelSet | undefined;
}

/** Throws `unauthorized`, `forbidden`, or `validation_failed` when the ticket would hold no channel. */
export function planTicket(
  principal: Principal,
  wish: TicketWish,
  { ttlMs }: TicketRules,
  context: TicketContext,
): TicketPlan {
  const common = { tokenId: context.tokenId, issuedAtMs: context.nowMs };
  const endMs = context.nowMs + (wish.ttlMs ?? ttlMs);
  if (principal.kind === 'user') {
    return {
      ...common,
      userId: principal.userId,
      joins: joinsOfUser(principal, wish, context.granted ?? ChannelSet.none),
      parentTokenIds: principal.tokenId === undefined ? [] : [principal.tokenId, ...principal.parentTokenIds],
      expiresAtMs: Math.min(endMs, principal.expiresAtMs ?? endMs),
      origin: wish.origin ?? context.pageOrigin,
    };
  }
  return {
    ...common,
    userId: wish.userId,
    joins: joinsByBackEnd(principal, wish),
    parentTokenIds: [],
    expiresAtMs: endMs,
    origin: wish.origin,
  };
}

function joinsOfUser(principal: Principal, wish: TicketWish, granted: ChannelSet): ChannelSet {
  if (principal.credential === 'ticket') {
    // Otherwise one ticket could be renewed for ever.
    throw new RequestError('forbidden', 'a ticket cannot issue tickets; send a JWT instead');
  }
  if (wish.userId !== undefined && wish.userId !== principal.userId) {
    throw new RequestError('forbidden', 'this token can issue tickets only for its own user');
  }
  if (wish.channels === undefined && wish.sessionId === undefined) return principal.joins;
  const wanted = wantedBy({ ...wish, userId: principal.userId });
  const beyond = principal.joins.union(granted).firstBeyond(wanted);
  if (beyond !== undefined) throw beyondReach('this token', beyond);
  return wanted;
}

function joinsByBackEnd({ kind, scopes, channels }: Principal, wish: TicketWish): ChannelSet {
  if (!scopes.has('manage')) {
    throw kind === 'anonymous'
      ? new RequestError('unauthorized', "issuing a ticket requires an API key or a user's token")
      : new RequestError('forbidden', 'this API key cannot issue tickets: it needs the scope manage');
  }
  const wanted = wantedBy(wish);
  if (wanted.isEmpty) {
    const problem = 'is required unless session_id or channels is given';
    throw validationFailed([{ field: 'user_id', problem }]);
  }
  const beyond = channels.firstBeyond(wanted);
  if (beyond !== undefined) throw beyondReach('this API key', beyond);
  return wanted;
}

function wantedBy({ userId, sessionId, channels }: TicketWish): ChannelSet {
  return ownChannels(userId, sessionId).union(ChannelSet.ofPatterns(channels ?? []));
}

function beyondReach(owner: string, channel: string): RequestError {
  return new RequestError('forbidden', `${owner} does not cover "${String(shownValue(channel))}"`);
}

/** Throws `validation_failed` with every problem. */
export function readTicketBody(body: unknown, { maxTtlMs }: TicketRules): TicketWish {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw validationFailed([{ field: 'body', problem: 'must be a JSON object' }]);
  }
  const problems: FieldProblem[] = [];
  const check = (field: string, value: unknown, problem: string | undefined): boolean => {
    if (problem !== undefined) problems.push({ field, problem, value: shownValue(value) });
    return problem === undefined;
  };
  for (const field of Object.keys(body)) {
    // An ignored field could be a limit that the client relies on.
    const problem = `is not a field of a ticket; the fields are ${FIELDS.join(', ')}`;
    if (!FIELDS.includes(field)) check(field, undefined, problem);
  }
  // `null` counts as absent, as in messages.
  const { user_id: user, session_id: session, channels, ttl, origin } = body as TicketBody;
  const id = (field: string, value: unknown): string | undefined => {
    if (value === undefined || value === null) return undefined;
    const problem = typeof value === 'string' ? nameProblem(value, MAX_ID_BYTES) : 'must be text';
    return check(field, value, problem) ? (value as string) : undefined;
  };
  const userId = id('user_id', user);
  const sessionId = id('session_id', session);
  const hasChannels = channels !== undefined && channels !== null;
  const areGood = hasChannels && check('channels', channels, patternsProblem(channels));
  const maxTtl = maxTtlMs / SECOND_MS;
  const isTtl = typeof ttl === 'number' && Number.isSafeInteger(ttl) && ttl >= 1 && ttl <= maxTtl;
  const hasTtl = ttl !== undefined && ttl !== null;
  const ttlProblem = `must be a whole number of seconds from 1 to ${maxTtl} (TICKET_MAX_TTL)`;
  if (hasTtl && !isTtl) check('ttl', ttl, ttlProblem);
  const hasOrigin = origin !== undefined && origin !== null;
  if (hasOrigin) check('origin', origin, originProblem(origin));
  if (problems.length > 0) throw validationFailed(problems);
  return {
    userId,
    sessionId,
    channels: areGood ? (channels as string[]) : undefined,
    ttlMs: hasTtl ? (ttl as number) * SECOND_MS : undefined,
    origin: hasOrigin ? new URL(origin as string).origin : undefined,
  };
}

function originProblem(origin: unknown): string | undefined {
  const isOrigin =
    typeof origin === 'string' && /^https?:\/\/[^/?#@\s]+\/?$/i.test(origin) && URL.canParse(origin);
  return isOrigin ? undefined : 'must be an origin such as https://app.example.com';
}
