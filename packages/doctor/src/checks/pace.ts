/**
 * Watches the stream: heartbeats, and messages that doctor sends itself, must arrive promptly and one by one, and
 * nothing on the network path may end the stream.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { jsonOf, objectOf, wordOf } from '../json-text.ts';
import { type CheckOutcome, type Finding, made, skipped } from '../report.ts';
import type { Service, TextAnswer } from '../service.ts';
import type { WatchedEvent } from '../watched-stream.ts';
import { type OpenedStream, seconds } from './stream.ts';

const ECHOES = 6;
const ECHO_EVERY_MS = 250;
const ECHO_PATIENCE_MS = 5000;
const LATE_MS = 1000;
/** Arrivals within this time of each other count as a burst. */
const BURST_MS = 30;
/** Heartbeats are compared only if the service wrote them at least this far apart. */
const HEARTBEAT_APART_MS = 400;

export async function checkPace({ stream }: OpenedStream, watchSeconds: number): Promise<CheckOutcome> {
  const startMs = stream.answer.sentAtMs;
  await stream.watch(startMs + watchSeconds * 1000);
  const { end } = stream;
  const farewell = stream.events.find(({ type }) => type === 'reconnect' || type === 'end');
  if (end !== undefined && farewell === undefined) {
    const seen = {
      seconds: seconds(end.atMs - startMs),
      idle: seconds(end.atMs - (stream.lastBytesAtMs ?? startMs)),
      how: end.how,
    };
    return made('pace', [{ code: 'cut', seen }, heartbeatProblem(stream.events)]);
  }
  if (farewell !== undefined) {
    const reason = wordOf(objectOf(jsonOf(farewell.data)?.['data'])?.['reason']);
    return made('pace', [{ code: 'sent_away', seen: { reason, seconds: seconds(farewell.atMs - startMs) } }]);
  }
  return made('pace', [heartbeatProblem(stream.events)]);
}

/** The delays of heartbeats differ by what they were held back on the way, whatever the clocks say. */
export function heartbeatProblem(events: readonly WatchedEvent[]): Finding | undefined {
  const beats = events
    .filter(({ type }) => type === 'heartbeat')
    .map(({ data, atMs }) => ({ writtenMs: Date.parse(wordOf(jsonOf(data)?.['timestamp'])), atMs }));
  const delays = beats.map(({ writtenMs, atMs }) => atMs - writtenMs);
  const spreadMs = Math.max(...delays) - Math.min(...delays);
  if (beats.length < 2 || !(spreadMs > LATE_MS)) return undefined;
  const isBurst = beats.some((beat, i) => {
    const next = beats[i + 1];
    if (next === undefined) return false;
    return next.atMs - beat.atMs < BURST_MS && next.writtenMs - beat.writtenMs > HEARTBEAT_APART_MS;
  });
  return isBurst
    ? { code: 'bursts', seen: { count: beats.length, seconds: seconds(spreadMs) } }
    : { code: 'late', seen: { seconds: seconds(spreadMs) } };
}

/** Needs permission to publish. Skipped where the public URL does not allow that, as it should not. */
export async function checkEcho(
  service: Service,
  { stream, connectionId }: OpenedStream,
): Promise<CheckOutcome> {
  const sentAtMs: number[] = [];
  for (let n = 0; n < ECHOES; n++) {
    const startMs = performance.now();
    const answer = await service.publish(connectionId, { doctor: n }).catch((error: Error) => error);
    if (answer instanceof Error || answer.status !== 200) return refused(service, answer);
    sentAtMs.push((startMs + performance.now()) / 2);
    await delay(ECHO_EVERY_MS);
  }
  await stream.event(({ data }) => numberOf(data) === ECHOES - 1, ECHO_PATIENCE_MS);
  const arrivals = stream.events.flatMap(({ data, atMs }) => {
    const n = numberOf(data);
    return n === undefined ? [] : [{ n, atMs, delayMs: atMs - (sentAtMs[n] as number) }];
  });
  if (arrivals.length < ECHOES && stream.end !== undefined) return skipped('echo', 'no_stream');
  if (arrivals.length < ECHOES) {
    return made('echo', [{ code: 'missing', seen: { sent: ECHOES, came: arrivals.length } }]);
  }
  return made('echo', [echoProblem(arrivals)]);
}

export interface Arrival {
  readonly atMs: number;
  /** Time since the message was published. */
  readonly delayMs: number;
}

/** Judges the arrivals of messages that were published `ECHO_EVERY_MS` apart. */
export function echoProblem(arrivals: readonly Arrival[]): Finding | undefined {
  const latestMs = Math.max(...arrivals.map(({ delayMs }) => delayMs));
  const stuck = arrivals.filter(
    ({ atMs }, i) => atMs - (arrivals[i - 1]?.atMs ?? Number.NEGATIVE_INFINITY) < BURST_MS,
  );
  // At least half arrive together with their predecessor, which a single hiccup of the machine does not cause.
  if (stuck.length >= arrivals.length / 2) {
    return { code: 'bursts', seen: { count: arrivals.length, seconds: seconds(latestMs) } };
  }
  return latestMs > LATE_MS ? { code: 'late', seen: { seconds: seconds(latestMs) } } : undefined;
}

function refused(service: Service, answer: TextAnswer | Error): CheckOutcome {
  const { apiKey, publishBase, base } = service.options;
  const isMeant = apiKey !== undefined || publishBase.href !== base.href;
  if (!isMeant) return skipped('echo', 'may_not_publish');
  const seen =
    answer instanceof Error
      ? { status: '–', message: answer.message }
      : { status: answer.status, message: wordOf(answer.json?.['message']) };
  return made('echo', [{ code: 'publish_refused', seen: { ...seen, url: publishBase.href } }]);
}

function numberOf(data: string): number | undefined {
  const inner = objectOf(jsonOf(data)?.['data']);
  return typeof inner?.['doctor'] === 'number' ? inner['doctor'] : undefined;
}
