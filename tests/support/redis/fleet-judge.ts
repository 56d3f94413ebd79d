/**
 * The judge of a fleet: counts what must not happen, from what was sent, what the channels hold at the end, and what
 * every stream received. Order and loss are judged by the numbers of messages, not by the service's offsets.
 *
 * A gap that says that a log went back (or began anew) ends a section of a stream. After it messages may be shown
 * again, because publishers without an answer have sent them again. Their last appearance counts: what was shown
 * before may have followed the order of a log that no longer exists.
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
  /** Messages shown on all streams together. */
  shown: number;
  /** Gap events on all streams together. */
  gapEvents: number;
  /** Acknowledged messages that are not in a channel's history at the end. */
  unstored: number;
  /** Acknowledged or stored messages that a stream did not show. */
  missing: number;
  /** Missing messages that no gap announces. */
  unannounced: number;
  /** Messages that are twice in a log, or twice on a stream without a gap that allows it. */
  repeated: number;
  /** Messages shown again after a gap that says that the log went back. */
  shownAgain: number;
  /** Messages on a stream that contradict the order of the log or of another stream. */
  outOfOrder: number;
  /** Messages after a later one of their publisher, in a log or where a stream shows what the log has lost. */
  overtaken: number;
  /** Messages shown or stored that were never sent, or not on that channel. */
  phantom: number;
  /** Offsets without an entry. */
  holes: number;
}

export interface Judgement {
  readonly verdict: FleetVerdict;
  /** The first few offences, in words. */
  readonly offences: readonly string[];
}

/** The number of offences of each kind that are described. */
const MAX_DESCRIBED = 3;
const AROUND = 5;
const GOES_BACK: ReadonlySet<GapReason> = new Set([
  'rolled_back',
  'epoch_changed',
  'offset_in_future',
  'invalid_cursor',
]);

/** Counts that must be zero in every run; whether messages may be missing depends on the test. */
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

/** Numbers of messages per channel and publisher. */
type Expected = ReadonlyMap<string, ReadonlyMap<number, readonly number[]>>;

type Offence = Exclude<keyof FleetVerdict, 'acknowledged' | 'shown' | 'gapEvents'>;

export function judgeFleet(record: FleetRecord): Judgement {
  return new Judge(record).judge();
}

class Judge {
  readonly #record: FleetRecord;
  /** Per channel, the place of each message in the log. */
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
      // The first place counts if there are several.
      [...record.logs].map(([channel, { messages }]) => [
        channel,
        new Map(messages.map((n, place) => [n, place] as const).toReversed()),
      ]),
    );
  }

  judge(): Judgement {
    const { sent, logs, streams } = this.#record;
    for (const [channel, log] of logs) this.#judgeLog(channel, log);
    for (const [n, { channels, acknowledgedAs }] of sent.entries()) {
      if (acknowledgedAs === undefined) continue;
      this.#verdict.acknowledged++;
      for (const channel of channels) {
        if (this.#places.get(channel)?.has(n) !== true)
          this.#note('unstored', () => `${this.#name(n)}, ${channel}`);
      }
    }
    const expected = this.#expectedByChannel();
    for (const stream of streams) {
      this.#judgeStream(stream);
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

  /** Checks one stream for order, repeats and foreign messages. */
  #judgeStream(stream: StreamRecord): void {
    const { told, gaps, channels } = stream;
    /** The place of each message in the last section that shows it. */
    const shownAt = new Map<number, number>();
    const sections = new Map(channels.map((channel) => [channel, newSection()]));
    for (const [i, n] of told.entries()) {
      if (n < 0) {
        this.#verdict.gapEvents++;
        for (const { channel, reason } of gaps[-1 - n]?.channels ?? []) {
          if (GOES_BACK.has(reason) && sections.has(channel)) sections.set(channel, newSection());
        }
        continue;
      }
      this.#verdict.shown++;
      const message = this.#record.sent[n];
      const channel = this.#showing(n, stream) ?? '';
      const section = sections.get(channel);
      if (message === undefined || section === undefined) {
        this.#note('phantom', () => this.#where(stream, i));
      } else if (section.shown.has(n)) this.#note('repeated', () => this.#where(stream, i));
      else {
        if (shownAt.has(n)) this.#note('shownAgain', () => this.#where(stream, i));
        section.shown.add(n);
        shownAt.set(n, i);
        // The order of messages that are in the log is judged by the log.
        if (this.#places.get(channel)?.has(n) !== true)
          this.#judgePublisherOrder(section.newestOf, n, message, () => this.#where(stream, i));
      }
    }
    this.#judgeOrder(stream, shownAt);
  }

  #judgeOrder(stream: StreamRecord, shownAt: ReadonlyMap<number, number>): void {
    const newest = new Map<string, number>();
    for (const [i, n] of stream.told.entries()) {
      const channel = this.#showing(n, stream) ?? '';
      const place = this.#places.get(channel)?.get(n);
      if (place === undefined || shownAt.get(n) !== i) continue;
      if (place < (newest.get(channel) ?? -1)) this.#note('outOfOrder', () => this.#where(stream, i));
      else newest.set(channel, place);
    }
  }

  #showing(n: number, { channels }: StreamRecord): string | undefined {
    return showingChannel(this.#record.sent[n]?.channels ?? [], channels);
  }

  /**
   * Counts missing messages and those that no gap announces. A stored message that was passed over must be announced
   * where it is missing: between the messages of the same publisher around it. The loss of an acknowledged message
   * can be announced only once it is known.
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
          const isInPlace = gaps.some(({ at }) => at > previousAt && at < nextAt);
          for (const n of missing) {
            this.#note('missing', () => `${this.#name(n)} on ${describeStream(stream)}`);
            if (this.#isLost(n, channel) ? this.#isToldLater(n, gaps) : isInPlace) continue;
            this.#note('unannounced', () => `${this.#name(n)}: ${this.#where(stream, previousAt)}`);
          }
          missing = [];
        };
        for (const n of ofPublisher) {
          if (this.#showing(n, stream) !== channel) continue;
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

  #isLost(n: number, channel: string): boolean {
    return this.#record.sent[n]?.acknowledgedAs !== undefined && this.#places.get(channel)?.has(n) !== true;
  }

  #isToldLater(n: number, gaps: readonly GapPlace[]): boolean {
    const since = this.#record.sent[n]?.acknowledgedAs ?? Number.POSITIVE_INFINITY;
    return gaps.some(({ reason, acknowledged }) => GOES_BACK.has(reason) && acknowledged >= since);
  }

  /** Acknowledged or stored messages per channel and publisher. */
  #expectedByChannel(): Expected {
    const expected = new Map<string, Map<number, number[]>>();
    for (const [n, { publisher, channels, acknowledgedAs }] of this.#record.sent.entries()) {
      for (const channel of channels) {
        if (acknowledgedAs === undefined && this.#places.get(channel)?.has(n) !== true) continue;
        const byPublisher = expected.get(channel) ?? new Map<number, number[]>();
        const ofPublisher = byPublisher.get(publisher) ?? [];
        ofPublisher.push(n);
        expected.set(channel, byPublisher.set(publisher, ofPublisher));
      }
    }
    return expected;
  }

  /** Messages that were shown and then lost have no place in the log: streams must agree with each other. */
  #judgeUnstoredOrder(): void {
    const previous = new Map<string, Map<number, number>>();
    for (const stream of this.#record.streams) {
      const own = new Map<string, Map<number, number>>();
      for (const [i, n] of stream.told.entries()) {
        const channel = this.#showing(n, stream);
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
    const state = message.acknowledgedAs === undefined ? ', not acknowledged' : '';
    return `message ${n} (publisher ${message.publisher}, ${message.channels.join(' + ')}${state})`;
  }

  /** Describes the entry and its neighbours on the same channel, each with its place in the log. */
  #where(stream: StreamRecord, at: number): string {
    const n = stream.told[at] ?? -1;
    const own = this.#showing(n, stream);
    const around: string[] = [];
    let before = 0;
    for (const [i, m] of stream.told.entries()) {
      const gap = m < 0 ? stream.gaps[-1 - m] : undefined;
      if (gap === undefined && this.#showing(m, stream) !== own) continue;
      if (i < at) before++;
      around.push(gap === undefined ? this.#nameWithPlace(m, own) : describeGap(gap.channels));
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
  /** Per publisher, messages that are not in the log. */
  readonly newestOf: Map<number, number>;
}

function newSection(): Section {
  return { shown: new Set(), newestOf: new Map() };
}

interface GapPlace {
  readonly at: number;
  readonly reason: GapReason;
  readonly acknowledged: number;
}

function gapsOf({ told, gaps }: StreamRecord, wanted: string): GapPlace[] {
  const found: GapPlace[] = [];
  if (gaps.length === 0) return found;
  for (const [at, n] of told.entries()) {
    const { channels = [], acknowledged = 0 } = (n < 0 ? gaps[-1 - n] : undefined) ?? {};
    for (const { channel, reason } of channels) {
      if (channel === wanted) found.push({ at, reason, acknowledged });
    }
  }
  return found;
}

function describeStream({ channels, told }: StreamRecord): string {
  return `a stream of ${channels.join(', ')} that was told ${told.length}`;
}

function describeGap(gaps: readonly ChannelGap[]): string {
  return `[gap ${gaps.map(({ channel, reason }) => `${channel} ${reason}`).join(', ')}]`;
}
