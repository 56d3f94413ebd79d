/**
 * A run over a fleet: streams that reconnect at random and to any node, publishers that post batches to any node
 * and repeat them until they are acknowledged, and faults meanwhile. What comes out is a record and its judgement.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { holesOf, readHistory } from '../history.ts';
import type { MessageBody } from '../publisher.ts';
import { Random } from '../random.ts';
import { TestServer } from '../server.ts';
import { waitFor, waitWhileMoving } from '../wait.ts';
import { type FleetVerdict, type Judgement, judgeFleet } from './fleet-judge.ts';
import { FleetPublisher, type PublishedAnswer } from './fleet-publisher.ts';
import type { ChannelLog, SentMessage } from './fleet-record.ts';
import { type FleetStream, openFleetStream } from './fleet-streams.ts';

export interface FleetSize {
  /** At least; publishers go on until the faults are over. */
  readonly messages: number;
  readonly channels: number;
  readonly streams: number;
  readonly publishers: number;
  readonly messagesPerSecond: number;
}

export interface FleetOptions {
  readonly name: string;
  readonly nodes: readonly TestServer[];
  readonly size?: Partial<FleetSize>;
  readonly ack?: 'replicated';
  /** Every batch goes to so many nodes at once, each of which is tried until it acknowledges it. */
  readonly copies?: number;
  readonly faults?: (fleet: Fleet) => Promise<void>;
}

export interface FleetRun extends Judgement {
  readonly streams: readonly FleetStream[];
  /** Every stream was told the last message of its channels. */
  readonly isSettled: boolean;
  /** Messages to whose copies nodes gave different answers, or of which two nodes say that they stored it first. */
  readonly differentAnswers: number;
  /** For a person who looks for the reason. */
  readonly explanation: string;
}

const fromEnv = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);

/** Smaller by the environment where a machine cannot carry it. */
const SIZE: FleetSize = {
  messages: fromEnv('TEST_FLEET_MESSAGES', 100_000),
  channels: 100,
  streams: fromEnv('TEST_FLEET_STREAMS', 500),
  publishers: 6,
  messagesPerSecond: fromEnv('TEST_FLEET_RATE', 6000),
};

const BATCH = 100;
/** Publishers that are ahead of their rate, or held, look again at least so often. */
const PACE_MS = 20;
const CUTS_PER_BATCH = 2;
/** Of the cut streams, those that stay away for a while. */
const HOLD_OFF_SHARE = 0.1;
const HELD_OFF_BATCHES = 40;
const TWO_CHANNEL_SHARE = 0.1;
const STILL_MS = 15_000;
const REACH_TIMEOUT_MS = 120_000;
const MAX_NODE_OUTPUT_CHARS = 1500;

/** For nodes of a fleet: history keeps all, and clients may come back at once. */
export const FLEET_ENV: Readonly<Record<string, string>> = {
  MESSAGE_QUEUE_SIZE: '1000000',
  STREAM_RETRY_MS: '100',
  MAX_CONNECTIONS: '2000',
};

export function startNodes(count: number, env: Readonly<Record<string, string>>): Promise<TestServer[]> {
  return Promise.all(
    Array.from({ length: count }, () => TestServer.start({ env: { ...FLEET_ENV, ...env } })),
  );
}

export async function runFleet(options: FleetOptions): Promise<FleetRun> {
  const fleet = new Fleet(options);
  try {
    return await fleet.run();
  } finally {
    fleet.close();
  }
}

/** What faults may see and do. */
export class Fleet {
  readonly nodes: readonly TestServer[];
  readonly random = new Random();
  readonly streams: FleetStream[] = [];
  acknowledged = 0;
  readonly #options: FleetOptions;
  readonly #size: FleetSize;
  readonly #channels: readonly string[];
  readonly #sent: SentMessage[] = [];
  readonly #publishers: FleetPublisher[] = [];
  readonly #heldOff = new Map<FleetStream, number>();
  #startedMs = 0;
  #cuts = 0;
  #inFlight = 0;
  #isQuiet = false;
  #areFaultsOver = false;
  #isStopped = false;
  #differentAnswers = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.nodes = options.nodes;
    this.#size = { ...SIZE, ...options.size };
    this.#channels = Array.from(
      { length: this.#size.channels },
      (_, i) => `${i % 2 === 0 ? 'channel' : 'task'}:${i}`,
    );
  }

  /** Waits until the share of all messages is acknowledged. */
  reached(share: number): Promise<void> {
    return this.#acknowledges(this.#size.messages * share);
  }

  /** Waits until so many more are acknowledged. */
  goesOn(messages = 2000): Promise<void> {
    return this.#acknowledges(this.acknowledged + messages);
  }

  /** Publishing pauses, and every stream was told all of it. */
  async becomeQuiet(): Promise<void> {
    this.#isQuiet = true;
    await waitFor('the end of what is in flight', () => this.#inFlight === 0, {
      timeoutMs: REACH_TIMEOUT_MS,
    });
    this.#bringBack();
    if (!(await this.#isTold(await this.#mark())))
      throw new Error(`streams fell behind: ${this.#describe()}`);
  }

  publishAgain(): void {
    this.#isQuiet = false;
  }

  async run(): Promise<FleetRun> {
    const { name, faults } = this.#options;
    console.log(`${name}: seed ${this.random.seed}`);
    for (let i = 0; i < this.#size.streams; i++) {
      const channels = this.random.sample(this.#channels, this.random.between(1, 3));
      this.streams.push(openFleetStream(this.nodes, channels, new Random(this.random.seed + 1000 + i)));
    }
    await waitFor('all streams', () => this.streams.every((s) => s.client.lastEventId !== ''), {
      timeoutMs: 30_000,
      describe: () => this.#describe(),
    });
    this.#startedMs = performance.now();
    const faulting = (faults?.(this) ?? Promise.resolve()).then(() => {
      this.#areFaultsOver = true;
    });
    const work = [faulting, ...Array.from({ length: this.#size.publishers }, (_, i) => this.#publish(i))];
    try {
      await Promise.all(work);
    } catch (error) {
      this.#isStopped = true;
      await Promise.allSettled(work);
      throw new Error(`${name}: ${this.#describe()}`, { cause: error });
    }
    return this.#finish();
  }

  close(): void {
    for (const { client } of this.streams) client.close();
    for (const publisher of this.#publishers) publisher.close();
  }

  #acknowledges(count: number): Promise<void> {
    return waitWhileMoving(
      `${count} acknowledgements`,
      () => this.#isStopped || this.acknowledged >= count,
      () => this.acknowledged,
      { stillMs: REACH_TIMEOUT_MS },
    );
  }

  async #publish(index: number): Promise<void> {
    const random = new Random(this.random.seed + index + 1);
    const publisher = this.#newPublisher(random);
    const mayGoOn = (): boolean =>
      !this.#isStopped && (this.#sent.length < this.#size.messages || !this.#areFaultsOver);
    while (mayGoOn()) {
      const dueMs = this.#startedMs + (this.#sent.length / this.#size.messagesPerSecond) * 1000;
      const earlyMs = this.#isQuiet ? PACE_MS : dueMs - performance.now();
      if (earlyMs > 0) {
        await delay(Math.min(earlyMs, PACE_MS));
        continue;
      }
      this.#inFlight++;
      const first = this.#sent.length;
      const bodies = Array.from({ length: BATCH }, () => this.#makeMessage(random, index));
      await this.#publishCopies(publisher, bodies, first);
      this.#inFlight--;
      this.#disturbStreams(random);
    }
  }

  #newPublisher(random: Random): FleetPublisher {
    const { ack } = this.#options;
    const publisher = new FleetPublisher({
      urls: this.nodes.map((node) => node.url),
      random,
      ...(ack && { ack }),
      isStopped: () => this.#isStopped,
    });
    this.#publishers.push(publisher);
    return publisher;
  }

  async #publishCopies(
    publisher: FleetPublisher,
    bodies: readonly MessageBody[],
    first: number,
  ): Promise<void> {
    const { copies } = this.#options;
    const onAcknowledged = (i: number): void => {
      const message = this.#sent[first + i];
      if (message === undefined || message.isAcknowledged) return;
      message.isAcknowledged = true;
      this.acknowledged++;
    };
    if (copies === undefined) {
      await publisher.publish(bodies, onAcknowledged);
      return;
    }
    const urls = Array.from({ length: copies }, (_, i) => this.nodes[i % this.nodes.length]?.url);
    const answers = await Promise.all(urls.map((url) => publisher.publish(bodies, onAcknowledged, url)));
    const complete = answers.filter((a) => a !== undefined);
    for (const i of bodies.keys()) {
      if (!areOneAnswer(complete.flatMap((a) => a[i] ?? []))) this.#differentAnswers++;
    }
  }

  #makeMessage(random: Random, publisher: number): MessageBody {
    const first = random.pick(this.#channels);
    const channels = [first];
    if (random.next() < TWO_CHANNEL_SHARE) {
      channels.push(random.pick(this.#channels.filter((c) => prefixOf(c) !== prefixOf(first))));
      // The order of the target's fields, which is that of a publication's channels.
      channels.sort();
    }
    return this.#messageTo(channels, publisher, 'progress', 'x'.repeat(random.between(0, 100)));
  }

  #messageTo(channels: readonly string[], publisher: number, type: string, text: string): MessageBody {
    const target = Object.fromEntries(
      channels.map((c) => [prefixOf(c) === 'task' ? 'task_id' : 'channel', c.slice(c.indexOf(':') + 1)]),
    );
    const id = `m${this.#sent.length}`;
    this.#sent.push({ publisher, channels, isAcknowledged: false });
    return { id, type, service: 'test', target, data: { text } };
  }

  #disturbStreams(random: Random): void {
    for (const [stream, batch] of this.#heldOff) {
      if (this.acknowledged < batch * BATCH) continue;
      this.#heldOff.delete(stream);
      stream.client.comeBack();
    }
    if (this.#isQuiet) return;
    for (let i = 0; i < CUTS_PER_BATCH; i++, this.#cuts++) {
      const stream = random.pick(this.streams);
      if (this.#heldOff.has(stream)) continue;
      if (random.next() < HOLD_OFF_SHARE) {
        this.#heldOff.set(stream, this.acknowledged / BATCH + random.between(1, HELD_OFF_BATCHES));
        stream.client.holdOff();
      } else stream.client.cutAfter(random.between(0, 20_000));
    }
  }

  #bringBack(): void {
    for (const { client } of this.#heldOff.keys()) client.comeBack();
    this.#heldOff.clear();
  }

  /** A last message on every channel, for now. Returns the number of each. */
  async #mark(): Promise<Map<string, number>> {
    const first = this.#sent.length;
    const bodies = this.#channels.map((c) => this.#messageTo([c], this.#size.publishers, 'custom', 'marker'));
    const publisher = this.#newPublisher(this.random);
    await this.#publishCopies(publisher, bodies, first);
    return new Map(this.#channels.map((channel, i) => [channel, first + i]));
  }

  /** Whether all streams were told `markers` before they stood still. */
  async #isTold(markers: ReadonlyMap<string, number>): Promise<boolean> {
    const isBehind = ({ channels, markers: seen }: FleetStream): boolean =>
      channels.some((channel) => !seen.has(markers.get(channel) ?? -1));
    try {
      await waitWhileMoving(
        'the last messages',
        () => !this.streams.some(isBehind),
        () => this.streams.reduce((sum, s) => sum + s.told.length, 0),
        { stillMs: STILL_MS },
      );
      return true;
    } catch (error) {
      const behind = this.streams.filter(isBehind);
      const { channels = [], client } = behind[0] ?? {};
      const last = client && `open ${client.isOpen}, status ${client.status}, id ${client.lastEventId}`;
      console.log(
        `${(error as Error).message}: ${behind.length} streams are behind, one of ${channels}: ${last}`,
      );
      return false;
    }
  }

  async #finish(): Promise<FleetRun> {
    const { name } = this.#options;
    const publishedMs = performance.now();
    this.#bringBack();
    const isSettled = await this.#isTold(await this.#mark());
    const settledMs = performance.now();
    const record = { sent: this.#sent, logs: await this.#readLogs(), streams: this.streams };
    let judgement = judgeFleet(record);
    // What a failover has lost may become known a little later; nothing else may.
    const deadlineMs = performance.now() + STILL_MS;
    while (judgement.verdict.unannounced > 0 && performance.now() < deadlineMs) {
      await delay(1000);
      judgement = judgeFleet(record);
    }
    const { verdict, offences } = judgement;
    const seconds = (from: number, to: number): string => ((to - from) / 1000).toFixed(1);
    console.log(
      `${name}: ${this.#sent.length} messages, ${this.#channels.length} channels, ${this.streams.length} streams, ` +
        `${this.nodes.length} nodes; ${this.#describe()}; ${describeVerdict(verdict)}; published in ` +
        `${seconds(this.#startedMs, publishedMs)} s, delivered ${seconds(publishedMs, settledMs)} s later`,
    );
    return {
      ...judgement,
      streams: this.streams,
      isSettled,
      differentAnswers: this.#differentAnswers,
      explanation: [...offences, ...this.nodes.map((node, i) => `node ${i}: ${tail(node.output)}`)].join(
        '\n',
      ),
    };
  }

  async #readLogs(): Promise<Map<string, ChannelLog>> {
    const logs = new Map<string, ChannelLog>();
    for (const channel of this.#channels) {
      const history = await readHistory(this.random.pick(this.nodes).url, channel);
      const messages = history.entries.map((e) => Number(e.message.id.slice(1)));
      logs.set(channel, { messages, holes: holesOf(history) });
    }
    return logs;
  }

  #describe(): string {
    const sum = (of: (publisher: FleetPublisher) => number): number =>
      this.#publishers.reduce((total, p) => total + of(p), 0);
    const longestMs = Math.max(0, ...this.#publishers.map((p) => p.longestMs));
    return (
      `${this.acknowledged} acknowledged, ${sum((p) => p.retries)} publishes repeated, ${sum((p) => p.repeats)} ` +
      `messages answered as repeats, the longest wait ${(longestMs / 1000).toFixed(1)} s; ${this.#cuts} cuts, ` +
      `${this.streams.reduce((total, s) => total + s.client.opens - 1, 0)} reconnects, ` +
      `${this.streams.filter((s) => s.client.isFailed).length} streams failed`
    );
  }
}

/** One said that it stored it (or that answer was lost), the others that it was stored, at the same time. */
function areOneAnswer(answers: readonly PublishedAnswer[]): boolean {
  const times = new Set(answers.map((answer) => answer.timestamp));
  return times.size <= 1 && answers.filter((answer) => answer.repeated !== true).length <= 1;
}

function describeVerdict(verdict: FleetVerdict): string {
  return Object.entries(verdict)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}

function prefixOf(channel: string): string {
  return channel.slice(0, channel.indexOf(':'));
}

function tail(text: string): string {
  return text === '' ? 'wrote nothing' : text.slice(-MAX_NODE_OUTPUT_CHARS);
}
