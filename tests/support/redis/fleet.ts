/**
 * A run over a fleet: streams that reconnect at random to any node, publishers that post batches to any node and retry
 * them until they are acknowledged, and faults meanwhile. The result is a record of everything and its judgement.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { holesOf, readHistory } from '../messages/history.ts';
import type { MessageBody } from '../messages/publisher.ts';
import { Random } from '../random.ts';
import { atScale, numberFromEnv } from '../scale.ts';
import { TestServer } from '../service/server.ts';
import { waitFor, waitWhileMoving } from '../wait.ts';
import { type FleetVerdict, type Judgement, judgeFleet } from './fleet-judge.ts';
import { FleetMessages } from './fleet-messages.ts';
import { FleetPublisher, type PublishedAnswer } from './fleet-publisher.ts';
import type { ChannelLog } from './fleet-record.ts';
import { type Entrance, type FleetStream, FleetStreams } from './fleet-streams.ts';

export interface FleetSize {
  /** The least number of messages; publishers continue until the faults are over. */
  readonly messages: number;
  readonly channels: number;
  readonly streams: number;
  readonly publishers: number;
  readonly messagesPerSecond: number;
  /** Messages in a request. */
  readonly batch: number;
}

export interface FleetOptions {
  readonly name: string;
  /** Empty when only `entrance` is known. */
  readonly nodes: readonly TestServer[];
  /** A balancer that all streams and publishers use; by default they use any node. */
  readonly entrance?: Entrance;
  /** Streams stay connected until the service ends them and then wait as long as it says. */
  readonly isPatient?: boolean;
  readonly size?: Partial<FleetSize>;
  readonly ack?: 'replicated';
  /** The number of nodes that every batch is sent to at the same time, each until it acknowledges. */
  readonly copies?: number;
  readonly faults?: (fleet: Fleet) => Promise<void>;
}

export interface FleetRun extends Judgement {
  readonly streams: readonly FleetStream[];
  /** True when every stream has received the last message of its channels. */
  readonly isSettled: boolean;
  /** Publishes that were sent again with the same ids. */
  readonly retries: number;
  /** The retries after a refusal; the others followed a missing answer. */
  readonly refusals: number;
  /** Messages whose copies got different answers, or that two nodes claim to have stored first. */
  readonly differentAnswers: number;
  /** Details for a person who looks for the reason. */
  readonly explanation: string;
}

const SIZE: FleetSize = {
  messages: numberFromEnv('TEST_FLEET_MESSAGES', atScale(20_000, 5000)),
  // Few enough that every channel has messages before the first fault.
  channels: atScale(100, 30),
  streams: numberFromEnv('TEST_FLEET_STREAMS', atScale(500, 100)),
  publishers: 6,
  messagesPerSecond: numberFromEnv('TEST_FLEET_RATE', atScale(6000, 1000)),
  batch: 100,
};

/** The longest pause of a publisher that is ahead of its rate or on hold. */
const PACE_MS = 20;
const REACH_TIMEOUT_MS = 120_000;
/** The longest time until the losses of a failover are known. */
const LATE_NEWS_MS = 15_000;
const MAX_NODE_OUTPUT_CHARS = 1500;

/** Settings of a fleet's nodes: history keeps everything, and clients may reconnect at once. */
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

/** The interface for faults. */
export class Fleet {
  readonly nodes: readonly TestServer[];
  readonly #entrances: readonly Entrance[];
  readonly random = new Random();
  readonly #options: FleetOptions;
  readonly #size: FleetSize;
  readonly #messages: FleetMessages;
  readonly #streams: FleetStreams;
  readonly #publishers: FleetPublisher[] = [];
  #startedMs = 0;
  #inFlight = 0;
  #isQuiet = false;
  #areFaultsOver = false;
  #isStopped = false;
  #differentAnswers = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.nodes = options.nodes;
    this.#entrances = options.entrance === undefined ? options.nodes : [options.entrance];
    this.#size = { ...SIZE, ...options.size };
    console.log(`${options.name}: seed ${this.random.seed}`);
    this.#messages = new FleetMessages(this.#size.channels);
    this.#streams = new FleetStreams({
      count: this.#size.streams,
      entrances: this.#entrances,
      isPatient: options.isPatient === true,
      messages: this.#messages,
      random: this.random,
    });
  }

  get streams(): readonly FleetStream[] {
    return this.#streams.list;
  }

  /** Waits until this share of all messages is acknowledged. */
  reached(share: number): Promise<void> {
    return this.#acknowledges(this.#size.messages * share);
  }

  /** Waits until this many more messages are acknowledged. */
  goesOn(messages: number): Promise<void> {
    return this.#acknowledges(this.#messages.acknowledged + messages);
  }

  /** Pauses publishing and waits until every stream has received everything. */
  async becomeQuiet(): Promise<void> {
    this.#isQuiet = true;
    await waitFor('the end of what is in flight', () => this.#inFlight === 0, {
      timeoutMs: REACH_TIMEOUT_MS,
    });
    if (!(await this.#isTold())) throw new Error(`streams fell behind: ${this.#describe()}`);
  }

  publishAgain(): void {
    this.#isQuiet = false;
  }

  async run(): Promise<FleetRun> {
    const { name, faults } = this.#options;
    await this.#streams.opened();
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
      throw new Error(`${name}: ${this.#describe()}\n${this.#nodeOutputs()}`, { cause: error });
    }
    return this.#finish();
  }

  close(): void {
    this.#streams.close();
    for (const publisher of this.#publishers) publisher.close();
  }

  #acknowledges(count: number): Promise<void> {
    return waitWhileMoving(
      `${count} acknowledgements`,
      () => this.#isStopped || this.#messages.acknowledged >= count,
      () => this.#messages.acknowledged,
      { stillMs: REACH_TIMEOUT_MS },
    );
  }

  async #publish(index: number): Promise<void> {
    const random = new Random(this.random.seed + index + 1);
    const publisher = this.#newPublisher(random);
    const { messages, messagesPerSecond } = this.#size;
    const { sent } = this.#messages;
    while (!this.#isStopped && (sent.length < messages || !this.#areFaultsOver)) {
      const dueMs = this.#startedMs + (sent.length / messagesPerSecond) * 1000;
      const earlyMs = this.#isQuiet ? PACE_MS : dueMs - performance.now();
      if (earlyMs > 0) {
        await delay(Math.min(earlyMs, PACE_MS));
        continue;
      }
      this.#inFlight++;
      await this.#publishCopies(publisher, this.#messages.make(this.#size.batch, index, random));
      this.#inFlight--;
      if (!this.#isQuiet && this.#options.isPatient !== true) this.#streams.disturb(random);
    }
  }

  #newPublisher(random: Random): FleetPublisher {
    const { ack } = this.#options;
    const publisher = new FleetPublisher({
      urls: this.#entrances.map(({ url }) => url),
      random,
      ...(ack && { ack }),
      isStopped: () => this.#isStopped,
    });
    this.#publishers.push(publisher);
    return publisher;
  }

  async #publishCopies(publisher: FleetPublisher, bodies: readonly MessageBody[]): Promise<void> {
    const { copies } = this.#options;
    const publish = (url?: string): Promise<readonly PublishedAnswer[] | undefined> =>
      publisher.publish(bodies, (body) => this.#messages.acknowledge(body), url);
    if (copies === undefined) {
      await publish();
      return;
    }
    const urls = Array.from({ length: copies }, (_, i) => this.nodes[i % this.nodes.length]?.url);
    const complete = (await Promise.all(urls.map(publish))).filter((answers) => answers !== undefined);
    for (const i of bodies.keys()) {
      if (!areOneAnswer(complete.flatMap((answers) => answers[i] ?? []))) this.#differentAnswers++;
    }
  }

  /** Publishes a marker on every channel and waits for it on all streams. */
  async #isTold(): Promise<boolean> {
    this.#streams.bringBack();
    // A separate publisher, so that there is no order between the markers and what others still retry.
    const { bodies, markers } = this.#messages.makeMarkers(this.#size.publishers);
    await this.#publishCopies(this.#newPublisher(this.random), bodies);
    return this.#streams.areTold(markers);
  }

  async #finish(): Promise<FleetRun> {
    const publishedMs = performance.now();
    const isSettled = await this.#isTold();
    const settledMs = performance.now();
    const { sent } = this.#messages;
    const record = { sent, logs: await this.#readLogs(), streams: this.streams };
    let judgement = judgeFleet(record);
    const deadlineMs = performance.now() + LATE_NEWS_MS;
    while (judgement.verdict.unannounced > 0 && performance.now() < deadlineMs) {
      await delay(1000);
      judgement = judgeFleet(record);
    }
    const seconds = (from: number, to: number): string => ((to - from) / 1000).toFixed(1);
    console.log(
      `${this.#options.name}: ${sent.length} messages, ${this.#size.channels} channels, ` +
        `${this.streams.length} streams, ${this.nodes.length} nodes; ${this.#describe()}; ` +
        `${describeVerdict(judgement.verdict)}; published in ${seconds(this.#startedMs, publishedMs)} s, ` +
        `delivered ${seconds(publishedMs, settledMs)} s later`,
    );
    return {
      ...judgement,
      streams: this.streams,
      retries: this.#publishers.reduce((total, p) => total + p.retries, 0),
      refusals: this.#publishers.reduce((total, p) => total + p.refusals, 0),
      isSettled,
      differentAnswers: this.#differentAnswers,
      explanation: [...judgement.offences, this.#nodeOutputs()].join('\n'),
    };
  }

  async #readLogs(): Promise<Map<string, ChannelLog>> {
    const logs = new Map<string, ChannelLog>();
    for (const channel of this.#messages.channels) {
      const history = await readHistory(this.random.pick(this.#entrances).url, channel);
      const messages = history.entries.map((e) => Number(e.message.id.slice(1)));
      logs.set(channel, { messages, holes: holesOf(history) });
    }
    return logs;
  }

  #nodeOutputs(): string {
    const tails = this.nodes.map((node) => node.output.slice(-MAX_NODE_OUTPUT_CHARS) || 'wrote nothing');
    return tails.map((tail, i) => `node ${i}: ${tail}`).join('\n');
  }

  #describe(): string {
    const sum = (of: (publisher: FleetPublisher) => number): number =>
      this.#publishers.reduce((total, p) => total + of(p), 0);
    const longestMs = Math.max(0, ...this.#publishers.map((p) => p.longestMs));
    return (
      `${this.#messages.acknowledged} acknowledged, ${sum((p) => p.retries)} publishes repeated, ` +
      `${sum((p) => p.repeats)} messages answered as repeats, the longest wait ${(longestMs / 1000).toFixed(1)} s; ` +
      this.#streams.describe()
    );
  }
}

/** At most one answer says that it stored the message (that answer may be lost); the others name the same time. */
function areOneAnswer(answers: readonly PublishedAnswer[]): boolean {
  const times = new Set(answers.map((answer) => answer.timestamp));
  return times.size <= 1 && answers.filter((answer) => answer.repeated !== true).length <= 1;
}

function describeVerdict(verdict: FleetVerdict): string {
  return Object.entries(verdict)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}
