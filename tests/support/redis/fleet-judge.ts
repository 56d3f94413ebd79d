/**
 * The judge of a fleet: counts what must not happen, from what was sent, what the channels hold at the end, and
 * what every stream was told. Order and loss are judged by the numbers of messages, not by the service's offsets.
 *
 * A gap that says that a log went back (or began anew) ends a section of a stream: what was shown before it
 * counts for nothing in the order that follows, and a message may be shown again, because its publisher, who was
 * not answered, has sent it again.
 */
import type { ChannelGap, GapReason } from '@message-push/protocol';
import {
  type ChannelLog,
  type FleetRecord,
  type SentMessage,
  type StreamRecord,
  showingChannel,
} from './fleet-record.ts';

export interface FleetVerdict {
  acknowledged: number;
  /** Messages that were shown, over all streams. */
  shown: number;
  /** Gap events, over all streams. */
  gapEvents: number;
  /** Acknowledged, and not in a channel's history at the end. */
  unstored: number;
  /** Acknowledged or stored, and not shown on a stream. */
  missing: number;
  /** Missing, and no gap says so. */
  unannounced: number;
  /** Twice in a log, or twice on a stream without a gap that allows it. */
  repeated: number;
  /** Shown again after a gap that says that the log went back. */
  shownAgain: number;
  /** On a stream, against the order of the log or of another stream. */
  outOfOrder: number;
  /** In a log or on a stream, after a later message of its publisher. */
  overtaken: number;
  /** Shown or stored, and never sent, or not there. */
  phantom: number;
  /** Offsets without an entry. */
  holes: number;
}

export interface Judgement {
  readonly verdict: FleetVerdict;
  /** The first few offences, in words. */
  readonly offences: readonly string[];
}

/** Of each kind. */
const MAX_DESCRIBED = 3;
const AROUND = 5;
const GOES_BACK: ReadonlySet<GapReason> = new Set([
  'rolled_back',
  'epoch_changed',
  'offset_in_future',
  'invalid_cursor',
]);

/** What must not happen, ever. Whether something may be missing is the test's business. */
export const NO_OFFENCE = {
  unannounced: 0,
  repeated: 0,
  outOfOrder: 0,
  overtaken: 0,
  phantom: 0,
  holes: 0,
} as const satisfies Partial<FleetVerdict>;

export const NOTHING_LOST = {
  ...NO_OFFENCE,
  unstored: 0,
  missing: 0,
} as const satisfies Partial<FleetVerdict>;

/** Per channel and publisher: numbers of messages. */
type Expected = ReadonlyMap<string, ReadonlyMap<number, readonly number[]>>;

type Offence = Exclude<keyof FleetVerdict, 'acknowledged' | 'shown' | 'gapEvents'>;

export function judgeFleet(record: FleetRecord): Judgement {
  return new Judge(record).judge();
}

class Judge {
  readonly #record: FleetRecord;
  /** Per channel: message → place in the log. */
  readonly #places: ReadonlyMap<string, ReadonlyMap<number, number>>;
  readonly #verdict: FleetVerdict = {
    acknowledged: 0,
    shown: 0,
    gapEvents: 0,
    unstored: 0,
    missing: 0,
    unannounced: 0,
    repeated: 0,
    shownAgain: 0,
    outOfOrder: 0,
    overtaken: 0,
    phantom: 0,
    holes: 0,
  };
  readonly #offences: string[] = [];

  constructor(record: FleetRecord) {
    this.#record = record;
    this.#places = new Map(
      // The first of several places counts.
      [...record.logs].map(([channel, { messages }]) => [
        channel,
        new Map(messages.map((n, place) => [n, place] as const).toReversed()),
      ]),
    );
  }

  judge(): Judgement {
    const { sent, logs, streams } = this.#record;
    for (const [channel, log] of logs) this.#judgeLog(channel, log);
    for (const [n, { channels, isAcknowledged }] of sent.entries()) {
      if (!isAcknowledged) continue;
      this.#verdict.acknowledged++;
      for (const channel of channels) {
        if (this.#places.get(channel)?.has(n) !== true)
          this.#note('unstored', () => `${this.#name(n)}, ${channel}`);
      }
    }
    const expected = this.#expectedByChannel();
    for (const stream of streams) {
      this.#judgeOrder(stream);
      this.#judgeLosses(stream, expected);
    }
    this.#judgeUnstoredOrder();
    return { verdict: this.#verdict, offences: this.#offences };
  }

  #judgeLog(channel: string, { messages, holes }: ChannelLog): void {
    for (const offset of holes) this.#note('holes', () => `offset ${offset} of ${channel}`);
    const seen = new Set<number>();
    const newestOf = new Map<number, number>();
    for (const n of messages) {
      const message = this.#record.sent[n];
      if (message === undefined || !message.channels.includes(channel)) {
        this.#note('phantom', () => `${this.#name(n)} in the log of ${channel}`);
        continue;
      }
      if (seen.has(n)) this.#note('repeated', () => `${this.#name(n)} in the log of ${channel}`);
      else this.#judgePublisherOrder(newestOf, n, message, () => `in the log of ${channel}`);
      seen.add(n);
    }
  }

  #judgePublisherOrder(
    newestOf: Map<number, number>,
    n: number,
    { publisher }: SentMessage,
    where: () => string,
  ): void {
    const newest = newestOf.get(publisher) ?? -1;
    if (n < newest) this.#note('overtaken', () => `${this.#name(n)} after ${this.#name(newest)} ${where()}`);
    else newestOf.set(publisher, n);
  }

  /** Order, repeats and strangers on one stream. */
  #judgeOrder(stream: StreamRecord): void {
    const sections = new Map(stream.channels.map((channel) => [channel, newSection()]));
    const before = new Set<number>();
    for (const [i, n] of stream.told.entries()) {
      if (n < 0) {
        this.#verdict.gapEvents++;
        for (const { channel, reason } of stream.gaps[-1 - n] ?? []) {
          if (!GOES_BACK.has(reason)) continue;
          for (const old of sections.get(channel)?.shown ?? []) before.add(old);
          sections.set(channel, newSection());
        }
        continue;
      }
      this.#verdict.shown++;
      const message = this.#record.sent[n];
      const channel = message && showingChannel(message.channels, stream.channels);
      const section = channel === undefined ? undefined : sections.get(channel);
      if (message === undefined || channel === undefined || section === undefined) {
        this.#note('phantom', () => this.#where(stream, i));
      } else if (section.shown.has(n)) this.#note('repeated', () => this.#where(stream, i));
      else {
        if (before.has(n)) this.#note('shownAgain', () => this.#where(stream, i));
        section.shown.add(n);
        const place = this.#places.get(channel)?.get(n) ?? section.place;
        if (place < section.place)
          this.#note('outOfOrder', () => `${this.#where(stream, i)}: not as in the log`);
        else {
          section.place = place;
          this.#judgePublisherOrder(section.newestOf, n, message, () => this.#where(stream, i));
        }
      }
    }
  }

  /**
   * Missing messages, and whether a gap tells of them. It must stand where they are missing: after the one before
   * of the same publisher and before the one after. That a log went back may become known later.
   */
  #judgeLosses(stream: StreamRecord, expected: Expected): void {
    const shownAt = new Map<number, number>();
    for (const [i, n] of stream.told.entries()) if (n >= 0 && !shownAt.has(n)) shownAt.set(n, i);
    for (const channel of stream.channels) {
      const gaps = gapsOf(stream, channel);
      for (const ofPublisher of expected.get(channel)?.values() ?? []) {
        let previousAt = -1;
        let missing: number[] = [];
        const decide = (nextAt: number): void => {
          const isTold = gaps.some(
            ({ at, reason }) => at > previousAt && (at < nextAt || reason === 'rolled_back'),
          );
          for (const n of missing) {
            this.#note('missing', () => `${this.#name(n)} on ${describeStream(stream)}`);
            if (isTold) continue;
            this.#note('unannounced', () => `${this.#name(n)}: ${this.#where(stream, previousAt)}`);
          }
          missing = [];
        };
        for (const n of ofPublisher) {
          if (showingChannel(this.#record.sent[n]?.channels ?? [], stream.channels) !== channel) continue;
          const at = shownAt.get(n);
          if (at === undefined) missing.push(n);
          else {
            if (missing.length > 0) decide(at);
            previousAt = at;
          }
        }
        if (missing.length > 0) decide(Number.POSITIVE_INFINITY);
      }
    }
  }

  /** Per channel and publisher: what was acknowledged or is stored. */
  #expectedByChannel(): Expected {
    const expected = new Map<string, Map<number, number[]>>();
    for (const [n, { publisher, channels, isAcknowledged }] of this.#record.sent.entries()) {
      for (const channel of channels) {
        if (!isAcknowledged && this.#places.get(channel)?.has(n) !== true) continue;
        const byPublisher = expected.get(channel) ?? new Map<number, number[]>();
        const ofPublisher = byPublisher.get(publisher) ?? [];
        ofPublisher.push(n);
        expected.set(channel, byPublisher.set(publisher, ofPublisher));
      }
    }
    return expected;
  }

  /** What was shown and then lost by the log has no place there: streams must agree among each other. */
  #judgeUnstoredOrder(): void {
    const previous = new Map<string, Map<number, number>>();
    for (const stream of this.#record.streams) {
      const own = new Map<string, Map<number, number>>();
      for (const [i, n] of stream.told.entries()) {
        const channel = showingChannel(this.#record.sent[n]?.channels ?? [], stream.channels);
        if (channel === undefined || this.#places.get(channel)?.has(n) === true) continue;
        const order = own.get(channel) ?? new Map<number, number>();
        own.set(channel, order.set(n, order.get(n) ?? i));
      }
      for (const [channel, order] of own) {
        const theirs = previous.get(channel);
        let last = -1;
        for (const n of order.keys()) {
          const place = theirs?.get(n) ?? last;
          if (place < last)
            this.#note('outOfOrder', () => `${this.#name(n)}: two streams of ${channel} disagree`);
          else last = place;
        }
        previous.set(channel, order);
      }
    }
  }

  #note(offence: Offence, describe: () => string): void {
    if (this.#verdict[offence]++ < MAX_DESCRIBED) this.#offences.push(`${offence}: ${describe()}`);
  }

  #name(n: number): string {
    const message = this.#record.sent[n];
    if (message === undefined) return `message ${n} (never sent)`;
    const state = message.isAcknowledged ? '' : ', not acknowledged';
    return `message ${n} (publisher ${message.publisher}, ${message.channels.join(' + ')}${state})`;
  }

  /** The entry, and what was told around it on the same channel, each with its place in the log. */
  #where(stream: StreamRecord, at: number): string {
    const n = stream.told[at] ?? -1;
    const channelOf = (m: number): string | undefined =>
      showingChannel(this.#record.sent[m]?.channels ?? [], stream.channels);
    const own = channelOf(n);
    const around: string[] = [];
    let before = 0;
    for (const [i, m] of stream.told.entries()) {
      const gap = m < 0 ? stream.gaps[-1 - m] : undefined;
      if (gap === undefined && channelOf(m) !== own) continue;
      if (i < at) before++;
      around.push(gap === undefined ? this.#nameWithPlace(m, own) : describeGap(gap));
    }
    const words = around.slice(Math.max(0, before - AROUND), before + AROUND).join(' ');
    return `${n < 0 ? '' : `${this.#name(n)} `}at ${at} of ${describeStream(stream)}, around it ${words}`;
  }

  #nameWithPlace(n: number, channel = ''): string {
    const place = this.#places.get(channel)?.get(n);
    return place === undefined ? `${n}` : `${n}@${place}`;
  }
}

interface Section {
  readonly shown: Set<number>;
  readonly newestOf: Map<number, number>;
  place: number;
}

function newSection(): Section {
  return { shown: new Set(), newestOf: new Map(), place: -1 };
}

function gapsOf({ told, gaps }: StreamRecord, channel: string): { at: number; reason: GapReason }[] {
  const found: { at: number; reason: GapReason }[] = [];
  if (gaps.length === 0) return found;
  for (const [at, n] of told.entries()) {
    if (n >= 0) continue;
    for (const gap of gaps[-1 - n] ?? []) if (gap.channel === channel) found.push({ at, reason: gap.reason });
  }
  return found;
}

function describeStream({ channels, told }: StreamRecord): string {
  return `a stream of ${channels.join(', ')} that was told ${told.length}`;
}

function describeGap(gaps: readonly ChannelGap[]): string {
  return `[gap ${gaps.map(({ channel, reason }) => `${channel} ${reason}`).join(', ')}]`;
}
