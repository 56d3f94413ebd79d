/**
 * Reads the URL of a stream: a pure function from path, query and Last-Event-ID to the channels that the stream joins
 * and the place where it starts. Throws a `RequestError` that names every parameter that is wrong.
 */
import {
  BROADCAST_CHANNEL,
  channelNameProblem,
  channelOfQueryName,
  EVENT_MODES,
  type EventMode,
  isTransientChannel,
  nameProblem,
  RESERVED_EVENT_NAMES,
} from '@message-push/protocol';
import type { Start } from '../../core/engine.ts';
import { type FieldProblem, RequestError, shownValue, validationFailed } from '../../core/errors.ts';
import type { StreamPlan } from '../../sse/stream-plan.ts';
import { frameStyles } from '../../sse/wire/frame.ts';

/** The part of a stream's plan that its URL decides. Its channels come in the order of the URL, each once. */
export interface StreamRequest extends Omit<StreamPlan, 'clientIp' | 'credential'> {
  readonly service: string | undefined;
  readonly taskId: string | undefined;
}

export interface StreamRequestOptions {
  readonly maxChannels: number;
  readonly defaultEventMode: EventMode;
  readonly defaultErrorEvent: string;
  readonly nowMs: number;
}

const PATH_PATTERN = /^\/sse\/(?:(user|service|task)\/([^/]+)|stream)$/;
const MAX_ID_BYTES = 128;
const MAX_EVENT_NAME_BYTES = 64;
/** From here on a number in `since` is a Unix time in seconds; a smaller one is a count. */
const MIN_UNIX_SECONDS = 1e9;
const MIN_UNIX_MS = 1e12;
const DURATION_MS: Readonly<Record<string, number>> = { s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3 };
const SINCE_HELP =
  'must be "all", "latest", a count (1 to 1000000), a duration (30s, 10m, 2h, 1d), a Unix time in seconds or an ISO 8601 time';

/** The routes that `PATH_PATTERN` matches, as Fastify writes them. */
export const STREAM_ROUTES: ReadonlySet<string> = new Set([
  '/sse/user/:user_id',
  '/sse/stream',
  '/sse/service/:service_name',
  '/sse/task/:task_id',
]);

/** True for the path of a stream, even if the id in it is not valid. */
export function isStreamPath(path: string): boolean {
  return PATH_PATTERN.test(path);
}

/** `target` is the request target: path and query as they were sent. */
export function parseStreamRequest(
  target: string,
  lastEventIdHeader: string | undefined,
  options: StreamRequestOptions,
): StreamRequest {
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const queryText = mark < 0 ? '' : target.slice(mark + 1);
  const query = new URLSearchParams(queryText);
  // An empty parameter counts as absent: that is how several HTTP clients write None.
  const parameter = (name: string): string | null => query.get(name) || null;
  const match = PATH_PATTERN.exec(path);
  if (match === null) throw new RequestError('not_found', `there is no stream at ${path}`);
  // URLSearchParams keeps what it cannot decode, and the stream would join a channel that nobody meant.
  decoded(queryText, 'query');
  const problems: FieldProblem[] = [];
  const kind = match[1] as 'user' | 'service' | 'task' | undefined;
  const pathId = kind === undefined ? undefined : decoded(match[2] as string, 'path');

  const id = (field: string, value: string | null | undefined): string | undefined => {
    if (value === null || value === undefined) return undefined;
    const problem = nameProblem(value, MAX_ID_BYTES);
    if (problem !== undefined) problems.push({ field, problem, value: shownValue(value) });
    return value;
  };
  const service = kind === 'service' ? id('path.service_name', pathId) : undefined;
  const taskId = kind === 'task' ? id('path.task_id', pathId) : undefined;
  const userId = kind === 'user' ? id('path.user_id', pathId) : id('query.user_id', parameter('user_id'));
  const sessionId =
    kind === 'user' || kind === undefined ? id('query.session_id', parameter('session_id')) : undefined;
  const request = {
    userId,
    sessionId,
    service,
    taskId,
    channels: joinedChannels(
      { service, task: taskId, user: userId, session: sessionId },
      query.getAll('channels'),
      options.maxChannels,
      problems,
    ),
    cursor: lastEventIdHeader || parameter('last_event_id') || undefined,
    start: parseSince(parameter('since'), options.nowMs, problems),
    styles: frameStyles(
      parseEventMode(parameter('event_mode'), options.defaultEventMode, problems),
      parseErrorEvent(parameter('error_event'), options.defaultErrorEvent, problems),
    ),
  };
  if (problems.length > 0) throw validationFailed(problems);
  return request;
}

/** Each channel once: those of `ids` in their order, those that `lists` name, and the broadcast channel last. */
function joinedChannels(
  ids: Readonly<Record<string, string | undefined>>,
  lists: readonly string[],
  maxChannels: number,
  problems: FieldProblem[],
): string[] {
  const channels: string[] = [];
  for (const [prefix, id] of Object.entries(ids)) if (id !== undefined) channels.push(`${prefix}:${id}`);
  addListed(lists, channels, problems);
  const listed = channels.indexOf(BROADCAST_CHANNEL);
  if (listed >= 0) channels.splice(listed, 1);
  channels.push(BROADCAST_CHANNEL);
  if (channels.length > maxChannels) {
    const problem = `must add up to at most ${maxChannels} channels, including ${BROADCAST_CHANNEL}; there are ${channels.length}`;
    problems.push({ field: 'query.channels', problem });
  }
  return channels;
}

function decoded(text: string, part: 'path' | 'query'): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    const shown = String(shownValue(text));
    throw new RequestError(
      'malformed_request',
      `the ${part} has a malformed percent-encoding in "${shown}"`,
      { cause },
    );
  }
}

function addListed(lists: readonly string[], channels: string[], problems: FieldProblem[]): void {
  for (const name of lists.flatMap((list) => list.split(','))) {
    if (name === '') continue;
    const channel = channelOfQueryName(name);
    const problem = isTransientChannel(channel)
      ? 'must not name a connection channel: a stream joins only its own'
      : channelNameProblem(channel);
    if (problem !== undefined) problems.push({ field: 'query.channels', problem, value: shownValue(name) });
    else if (!channels.includes(channel)) channels.push(channel);
  }
}

function parseSince(text: string | null, nowMs: number, problems: FieldProblem[]): Start {
  if (text === null) return { kind: 'now' };
  if (text === 'all') return { kind: 'all' };
  if (text === 'latest') return { kind: 'last', count: 1 };
  if (/^\d{1,15}$/.test(text)) {
    const number = Number(text);
    if (number >= MIN_UNIX_MS) return { kind: 'time', sinceMs: number };
    if (number >= MIN_UNIX_SECONDS) return { kind: 'time', sinceMs: number * 1000 };
    if (number >= 1 && number <= 1e6) return { kind: 'last', count: number };
  }
  const duration = /^(\d{1,6})([smhd])$/.exec(text);
  if (duration !== null) {
    return {
      kind: 'time',
      sinceMs: nowMs - Number(duration[1]) * (DURATION_MS[duration[2] as string] as number),
    };
  }
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text.replace(' ', '+')) : Number.NaN;
  if (!Number.isNaN(time)) return { kind: 'time', sinceMs: time };
  problems.push({ field: 'query.since', problem: SINCE_HELP, value: shownValue(text) });
  return { kind: 'now' };
}

function parseEventMode(text: string | null, fallback: EventMode, problems: FieldProblem[]): EventMode {
  if (text === null) return fallback;
  const mode = EVENT_MODES.find((m) => m === text);
  if (mode !== undefined) return mode;
  problems.push({
    field: 'query.event_mode',
    problem: `must be one of ${EVENT_MODES.join(', ')}`,
    value: shownValue(text),
  });
  return fallback;
}

function parseErrorEvent(text: string | null, fallback: string, problems: FieldProblem[]): string {
  if (text === null) return fallback;
  const problem = RESERVED_EVENT_NAMES.some((name) => name === text)
    ? `must not be one of ${RESERVED_EVENT_NAMES.join(', ')}`
    : nameProblem(text, MAX_EVENT_NAME_BYTES);
  if (problem === undefined) return text;
  problems.push({ field: 'query.error_event', problem, value: shownValue(text) });
  return fallback;
}
