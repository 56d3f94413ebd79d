/**
 * Group commit: the publishes of a turn that may share a call go in one. One call of a group is under way at a time
 * while the next ones gather: calls grow as the load does, and a call that has to be sent again, because its slot
 * was on the way to another server, is not overtaken by what was published after it.
 *
 * What is refused or fails here is settled in time: a server does nothing for a call after its deadline, so a
 * publisher that was told of a failure does not get a late success.
 */
import { isTransientChannel } from '@message-push/protocol';
import { RequestError } from '../../../core/errors.ts';
import type { AckLevel, Draft, Place } from '../../../core/message.ts';
import { engineUnavailable, storageFull } from '../../refusals.ts';
import { type Argument, ReplyError } from '../link/connection.ts';
import type { Router } from '../link/router.ts';
import type { Shard } from '../link/shard.ts';
import { formOf, type MessageForm, nodeOfConnectionChannel, writeMessage } from '../log/codec.ts';
import type { Keys } from '../log/keys.ts';

export interface PublishQueueOptions {
  readonly router: Router;
  readonly keys: Keys;
  readonly maxMessagesPerChannel: number;
  readonly maxBytesPerChannel: number;
  readonly logRetentionMs: number;
  readonly idempotencyTtlMs: number;
  readonly ackReplicas: number;
  readonly timeoutMs: number;
  /** False: every publish is a call of its own. */
  readonly isGrouping: boolean;
  readonly newEpoch: () => string;
  /** So far a channel's messages are stored, on this run of a server; said before their publishers are answered. */
  readonly onStored: (runId: string, channel: string, epoch: string, offset: number) => void;
  /** A call was answered. */
  readonly onCommitted: (publications: number, seconds: number) => void;
}

/** How many streams had joined a channel, by node. */
export type Audience = ReadonlyMap<string, number>;

export interface PartResult {
  readonly outcome: 'stored' | 'repeat' | 'conflict';
  /** In the order of the part's channels. */
  readonly places: readonly Place[];
  /** Of the first time, when it is a repeat. */
  readonly timeMs: number;
  /** In the order of the places. */
  readonly audiences: readonly Audience[];
}

/** A connection, and the name on the bus of its node. */
interface DirectChannel {
  readonly channel: string;
  readonly bus: string;
}

/** The channels of a draft that may share a call. */
interface SlotChannels {
  readonly slot: number;
  readonly logs: readonly string[];
  readonly direct: readonly DirectChannel[];
}

interface Part extends Omit<SlotChannels, 'slot'> {
  readonly draft: Draft;
  /** What it adds to the queue's bytes. */
  readonly bytes: number;
  /** In a cluster, where the publisher chose the id: whether it belongs to this message. */
  readonly claim: Promise<boolean> | undefined;
  readonly queuedMs: number;
  readonly resolve: (result: readonly PartResult[]) => void;
  readonly reject: (error: unknown) => void;
}

interface Group {
  readonly slot: number;
  readonly ack: AckLevel;
  waiting: Part[];
  isUnderWay: boolean;
}

/** One call stays below a few ms of the server, and of its buffers. */
const MAX_PARTS = 200;
const MAX_BYTES = 1024 * 1024;
/** Of `META` in `lua/publish.lua`. */
const META_BYTES = 28;
/** Of a fingerprint as Redis keeps it. */
const FINGERPRINT_BYTES = 16;
/** `WINDOWS` of `lua/publish.lua`, and how many of them are before the current one. */
const RECEIPT_WINDOWS = 4;
const RECEIPT_WINDOWS_BEFORE = 2;
/** So long at least that a call is still within it, or within the next, when it reaches the server. */
const MIN_RECEIPT_WINDOW_MS = 60_000;
/** The deadline that a server is given is so much earlier than the one that a publisher sees: clocks are not equal. */
const CLOCK_MARGIN_MS = 100;
const MAX_KNOWN_AUDIENCES = 1000;
/** Whom a connection belongs to that no node can have. */
const NO_NODE = 'none';

export class PublishQueue {
  readonly #options: PublishQueueOptions;
  readonly #groups = new Map<number, Group>();
  readonly #dirty = new Set<Group>();
  readonly #audiences = new Map<string, Audience>();
  #isScheduled = false;
  #onIdle: (() => void) | undefined;
  bytes = 0;
  /** A message that was split counts with each of its parts; its bytes with the first. */
  messages = 0;

  constructor(options: PublishQueueOptions) {
    this.#options = options;
  }

  /**
   * Resolves with a result for every group of channels that the draft was split into. What waits for its `claim`
   * keeps its place.
   */
  add(draft: Draft, claim?: Promise<boolean>): Promise<readonly PartResult[]> {
    const bytes = draft.message.json.length;
    const parts = this.#split(draft);
    const results = parts.map((part, i) => this.#enqueue(draft, part, claim, i === 0 ? bytes : 0));
    const [only] = results;
    if (results.length === 1 && only !== undefined) return only;
    return Promise.all(results).then((all) => all.flat());
  }

  /** Resolves when nothing is under way. */
  settled(): Promise<void> {
    if (this.messages === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  #split({ message: { channels } }: Draft): readonly SlotChannels[] {
    const { router, keys } = this.#options;
    const [only] = channels;
    if (channels.length === 1 && only !== undefined && !isTransientChannel(only)) {
      return [{ slot: router.groupOf(keys.log(only)), logs: channels, direct: [] }];
    }
    const parts = new Map<number, { slot: number; logs: string[]; direct: DirectChannel[] }>();
    for (const channel of channels) {
      const isDirect = isTransientChannel(channel);
      const bus = isDirect ? keys.nodeBus(nodeOfConnectionChannel(channel) ?? NO_NODE) : '';
      const slot = router.groupOf(isDirect ? bus : keys.log(channel));
      let part = parts.get(slot);
      if (part === undefined) {
        part = { slot, logs: [], direct: [] };
        parts.set(slot, part);
      }
      if (isDirect) part.direct.push({ channel, bus });
      else part.logs.push(channel);
    }
    return [...parts.values()];
  }

  #enqueue(
    draft: Draft,
    { slot, logs, direct }: SlotChannels,
    claim: Promise<boolean> | undefined,
    bytes: number,
  ): Promise<readonly PartResult[]> {
    this.bytes += bytes;
    this.messages++;
    return new Promise((resolve, reject) => {
      const key = keyOf(slot, draft.ack);
      let group = this.#groups.get(key);
      if (group === undefined) {
        group = { slot, ack: draft.ack, waiting: [], isUnderWay: false };
        this.#groups.set(key, group);
      }
      const queuedMs = performance.now();
      group.waiting.push({ draft, logs, direct, claim, bytes, queuedMs, resolve, reject });
      this.#dirty.add(group);
      if (this.#isScheduled) return;
      this.#isScheduled = true;
      setImmediate(() => {
        this.#isScheduled = false;
        const dirty = [...this.#dirty];
        this.#dirty.clear();
        for (const each of dirty) this.#send(each);
      });
    });
  }

  #send(group: Group): void {
    if (group.isUnderWay || group.waiting.length === 0) return;
    group.isUnderWay = true;
    const parts = this.#take(group);
    void this.#call(group, parts).finally(() => {
      group.isUnderWay = false;
      if (group.waiting.length > 0) this.#send(group);
      else this.#groups.delete(keyOf(group.slot, group.ack));
    });
  }

  /** They are settled, and no longer in the queue. */
  #release(parts: readonly Part[]): void {
    for (const { bytes } of parts) this.bytes -= bytes;
    this.messages -= parts.length;
    if (this.messages === 0) this.#onIdle?.();
  }

  #take(group: Group): Part[] {
    if (!this.#options.isGrouping) return group.waiting.splice(0, 1);
    let count = 0;
    for (let bytes = 0; count < Math.min(group.waiting.length, MAX_PARTS) && bytes < MAX_BYTES; count++) {
      bytes += (group.waiting[count] as Part).draft.message.json.length;
    }
    return group.waiting.splice(0, count);
  }

  async #call(group: Group, taken: readonly Part[]): Promise<void> {
    const { router, ackReplicas, timeoutMs } = this.#options;
    const parts = router.isCluster ? await claimed(taken) : taken;
    const [first] = parts;
    if (first === undefined) {
      this.#release(taken);
      return;
    }
    const startedMs = performance.now();
    const untilMs = first.queuedMs + timeoutMs;
    const { keys, args, channels } = this.#arguments(parts, group.slot);
    const isReplicated = group.ack === 'replicated';
    try {
      const { reply, replicas, shard } = await router.call(
        'publish',
        group.slot,
        keys,
        (target) => [...this.#header(target, untilMs, isReplicated), ...args],
        isReplicated ? { untilMs, replicas: ackReplicas } : { untilMs },
      );
      if (isReplicated && replicas < ackReplicas) throw notReplicated(replicas, ackReplicas, timeoutMs);
      this.#options.onCommitted(parts.length, (performance.now() - startedMs) / 1000);
      this.#resolve(parts, channels, reply as Reply, shard.runId);
      this.#release(taken);
    } catch (error) {
      const problem = publishError(error);
      // What waits behind it fails too: a batch must not be stored without its first half, nor be sent again behind it.
      const behind = group.waiting.splice(0);
      for (const part of [...parts, ...behind]) part.reject(problem);
      this.#release([...taken, ...behind]);
    }
  }

  /** The same for every message of a call; see `lua/publish.lua`. */
  #header(shard: Shard, untilMs: number, renews: boolean): string[] {
    const o = this.#options;
    return [
      shard.runId,
      String(shard.clockUs(Math.max(1, untilMs - performance.now() - CLOCK_MARGIN_MS))),
      o.newEpoch(),
      String(o.maxMessagesPerChannel),
      String(o.maxBytesPerChannel),
      String(o.logRetentionMs),
      String(o.idempotencyTtlMs),
      shard.busKind === 'sharded' ? 'spublish' : 'publish',
      renews ? '1' : '0',
    ];
  }

  /** What the messages of a call share is named once; see `lua/publish.lua`. */
  #arguments(
    parts: readonly Part[],
    slot: number,
  ): {
    keys: string[];
    args: Argument[];
    channels: ReadonlyMap<string, number>;
  } {
    const names = this.#options.keys;
    const channels = new Map<string, number>();
    for (const { logs } of parts) {
      for (const channel of logs) if (!channels.has(channel)) channels.set(channel, channels.size + 1);
    }
    const nodes = new Map<string, number>();
    for (const { direct } of parts) {
      for (const { bus } of direct) if (!nodes.has(bus)) nodes.set(bus, channels.size + nodes.size + 1);
    }
    const forms: MessageForm[] = [];
    let metaBytes = 0;
    let messageBytes = 0;
    for (const { draft, logs, direct } of parts) {
      const { message, fingerprint } = draft;
      const form = formOf(message);
      forms.push(form);
      metaBytes += META_BYTES + 2 * (logs.length + direct.length - 1);
      if (fingerprint !== undefined) metaBytes += FINGERPRINT_BYTES;
      messageBytes += form.bytes;
    }
    // Two arguments for all of them: each more would cost this process and Redis an allocation.
    const metas = Buffer.allocUnsafe(metaBytes);
    const messages = Buffer.allocUnsafe(messageBytes);
    let at = 0;
    let messageAt = 0;
    parts.forEach(({ draft, logs, direct }, i) => {
      const { message, fingerprint, ttlMs = 0, hasOwnTtl } = draft;
      const form = forms[i] as MessageForm;
      at = metas.writeDoubleLE(ttlMs, at);
      at = metas.writeDoubleLE(message.timeMs, at);
      at = metas.writeUInt8(hasOwnTtl ? 1 : 0, at);
      at = metas.writeUInt16LE(logs.length, at);
      at = metas.writeUInt16LE(logs.length + direct.length, at);
      at = metas.writeUInt8(fingerprint === undefined ? 0 : 1, at);
      at = metas.writeUInt32LE(form.bytes, at);
      for (const channel of logs) at = metas.writeUInt16LE(channels.get(channel) as number, at);
      for (const { bus } of direct) at = metas.writeUInt16LE(nodes.get(bus) as number, at);
      if (fingerprint !== undefined) at += metas.write(fingerprint, at, FINGERPRINT_BYTES, 'base64url');
      messageAt = writeMessage(messages, messageAt, form);
    });
    const receipts = this.#receipts(parts, slot);
    const named = [...channels.keys()];
    const counts = [...receipts.counts, channels.size, channels.size + nodes.size];
    return {
      keys: [
        ...receipts.keys,
        ...named.map((channel) => names.log(channel)),
        ...named.map((channel) => names.history(channel)),
        ...named.map((channel) => names.audience(channel)),
      ],
      args: [...counts.map(String), ...nodes.keys(), metas, messages, ...receipts.ids],
      channels,
    };
  }

  /** What was answered to publishers' ids: in a cluster a key for each of them, else windows of time and the ids. */
  #receipts(
    parts: readonly Part[],
    slot: number,
  ): { counts: readonly number[]; keys: readonly string[]; ids: readonly string[] } {
    const { router, keys, idempotencyTtlMs } = this.#options;
    const withIds = parts.filter(({ draft }) => draft.fingerprint !== undefined);
    const ids = withIds.map(({ draft }) => draft.message.id);
    if (router.isCluster || ids.length === 0) {
      const named = withIds.map(({ logs, direct }, i) =>
        keys.receipt(ids[i] as string, homeOf(logs, direct)),
      );
      return { counts: [ids.length, 0, 0], keys: named, ids: [] };
    }
    const lengthMs = Math.max(idempotencyTtlMs, MIN_RECEIPT_WINDOW_MS);
    // Where no server has the slot the call fails anyway.
    const serverMs = (router.ownerOf(slot)?.clockUs() ?? 0) / 1000;
    const first = Math.floor(serverMs / lengthMs) - RECEIPT_WINDOWS_BEFORE;
    const windows = Array.from({ length: RECEIPT_WINDOWS }, (_, i) => keys.receipts(lengthMs, first + i));
    return { counts: [ids.length, lengthMs, first], keys: windows, ids };
  }

  #resolve(parts: readonly Part[], channels: ReadonlyMap<string, number>, reply: Reply, runId: string): void {
    const epochs: string[] = [];
    const audiences: Audience[] = [];
    for (let at = parts.length; at < reply.length; at += 2) {
      epochs.push(reply[at] as string);
      audiences.push(this.#audienceOf(reply[at + 1] as string));
    }
    const newest = epochs.map(() => 0);
    const results = parts.map((part, i): PartResult => {
      const result = reply[i] as Reply[number];
      const [sign, timeMs, ...known] = typeof result === 'string' ? result.split(' ') : [];
      const places: Place[] = [];
      const heard: Audience[] = [];
      part.logs.forEach((channel, j) => {
        const index = (channels.get(channel) as number) - 1;
        heard.push(audiences[index] as Audience);
        if (sign === undefined) {
          const offset = typeof result === 'number' ? result : (result[j] as number);
          places.push({ channel, epoch: epochs[index] as string, offset });
          newest[index] = offset;
        } else if (sign === '=') {
          const place = { channel, epoch: known[2 * j] as string, offset: Number(known[2 * j + 1]) };
          places.push(place);
          this.#options.onStored(runId, channel, place.epoch, place.offset);
        }
      });
      for (const { channel } of part.direct) places.push({ channel, epoch: '', offset: 0 });
      return {
        outcome: sign === undefined ? 'stored' : sign === '!' ? 'conflict' : 'repeat',
        places,
        timeMs: sign === '=' ? Number(timeMs) : part.draft.message.timeMs,
        audiences: heard,
      };
    });
    for (const [channel, number] of channels) {
      const offset = newest[number - 1] as number;
      if (offset > 0) this.#options.onStored(runId, channel, epochs[number - 1] as string, offset);
    }
    for (const [i, part] of parts.entries()) part.resolve([results[i] as PartResult]);
  }

  /** Most channels of a call have been joined by the same nodes. */
  #audienceOf(text: string): Audience {
    if (text === '') return NOBODY;
    const known = this.#audiences.get(text);
    if (known !== undefined) return known;
    if (this.#audiences.size >= MAX_KNOWN_AUDIENCES) this.#audiences.clear();
    const audience = parseAudience(text);
    this.#audiences.set(text, audience);
    return audience;
  }
}

/** Of `lua/publish.lua`. */
type Reply = readonly (number | readonly number[] | string)[];

/**
 * The parts whose ids are theirs; the others are settled. Where it cannot be known, later parts of the same channels
 * fail too: their publisher sends all of them again, and must not find them in another order.
 */
async function claimed(parts: readonly Part[]): Promise<readonly Part[]> {
  if (parts.every(({ claim }) => claim === undefined)) return parts;
  const claims = await Promise.allSettled(parts.map(({ claim }) => claim ?? OURS));
  const broken = new Map<string, unknown>();
  return parts.filter((part, i) => {
    const claim = claims[i] as PromiseSettledResult<boolean>;
    const before = part.logs.find((channel) => broken.has(channel));
    if (claim.status === 'rejected' || before !== undefined) {
      const reason = claim.status === 'rejected' ? claim.reason : broken.get(before as string);
      for (const channel of part.logs) broken.set(channel, reason);
      part.reject(publishError(reason));
      return false;
    }
    if (claim.value) return true;
    part.resolve([CONFLICT]);
    return false;
  });
}

const OURS = Promise.resolve(true);
const CONFLICT: PartResult = { outcome: 'conflict', places: [], timeMs: 0, audiences: [] };

export const NOBODY: Audience = new Map();

/** A message's receipt lies with one of its channels. */
function homeOf([channel]: readonly string[], [direct]: readonly DirectChannel[]): string {
  return channel ?? nodeOfConnectionChannel(direct?.channel ?? '') ?? NO_NODE;
}

function keyOf(slot: number, ack: AckLevel): number {
  return 2 * slot + (ack === 'replicated' ? 1 : 0);
}

function parseAudience(text: string): Audience {
  const words = text.split(' ');
  const audience = new Map<string, number>();
  for (let i = 0; i < words.length; i += 2) audience.set(words[i] as string, Number(words[i + 1]));
  return audience;
}

function notReplicated(replicas: number, wanted: number, timeoutMs: number): RequestError {
  return new RequestError(
    'not_replicated',
    `the message is stored, but ${replicas} of ${wanted} replicas (ACK_REPLICAS) confirmed it within ${timeoutMs} ms; send it again with the same id`,
    { retryAfterSeconds: 1 },
  );
}

function publishError(error: unknown): unknown {
  const { message } = error as Error;
  if (error instanceof ReplyError && /\bOOM\b/.test(message)) {
    return storageFull(`Redis has no memory left (maxmemory): ${message}`, error);
  }
  return engineUnavailable('the message could not be stored', error);
}
