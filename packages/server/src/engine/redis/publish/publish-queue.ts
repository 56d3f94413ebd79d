/**
 * Group commit: the publishes of a turn that share a slot go in one call. One call of a slot is under way at a time
 * while the next publishes gather. So calls grow as the load does, and a call that has to be sent again, because its
 * slot was being moved, is not overtaken by what was published after it.
 */
import type { AckLevel, Draft } from '../../../core/message.ts';
import type { Keys } from '../names/keys.ts';
import { keepOwned } from './claims.ts';
import type { PartResult, PublishPart } from './publish-call.ts';
import type { PublishSender } from './publish-sender.ts';
import { type SlotChannels, splitBySlot } from './split-draft.ts';

export interface PublishQueueOptions {
  readonly keys: Keys;
  readonly slotOf: (key: string) => number;
  readonly sender: Pick<PublishSender, 'send'>;
  /** How long a publisher waits before it is told of a failure. */
  readonly timeoutMs: number;
  /** If false every publish is a call of its own. */
  readonly groupCommit: boolean;
}

interface Part extends PublishPart {
  /** What it adds to the queue's bytes. */
  readonly bytes: number;
  readonly claim: Promise<boolean> | undefined;
  readonly queuedMs: number;
  readonly resolve: (results: readonly PartResult[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Publishes of one slot and level that wait for their call. */
interface SlotQueue {
  readonly slot: number;
  readonly ack: AckLevel;
  waiting: Part[];
  isUnderWay: boolean;
}

/** Bounds of one call, so that it takes a few ms of the server and of its buffers. */
const MAX_PARTS = 200;
const MAX_BYTES = 1024 * 1024;

export class PublishQueue {
  readonly #options: PublishQueueOptions;
  readonly #queues = new Map<number, SlotQueue>();
  readonly #dirty = new Set<SlotQueue>();
  #isScheduled = false;
  #onIdle: (() => void) | undefined;
  bytes = 0;
  /** A message that was split counts once for each part; its bytes count once. */
  messages = 0;

  constructor(options: PublishQueueOptions) {
    this.#options = options;
  }

  /**
   * Resolves with a result for every slot of the draft's channels. A draft that waits for its `claim` keeps its place
   * in the queue.
   */
  add(draft: Draft, claim?: Promise<boolean>): Promise<readonly PartResult[]> {
    const { keys, slotOf } = this.#options;
    const bytes = draft.message.json.length;
    const parts = splitBySlot(draft.message.channels, keys, slotOf);
    const results = parts.map((part, i) => this.#enqueue(draft, part, claim, i === 0 ? bytes : 0));
    const [only] = results;
    if (results.length === 1 && only !== undefined) return only;
    return Promise.all(results).then((all) => all.flat());
  }

  /** Resolves when nothing is queued and nothing is under way. */
  settled(): Promise<void> {
    if (this.messages === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
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
      let queue = this.#queues.get(key);
      if (queue === undefined) {
        queue = { slot, ack: draft.ack, waiting: [], isUnderWay: false };
        this.#queues.set(key, queue);
      }
      const queuedMs = performance.now();
      queue.waiting.push({ draft, logs, direct, claim, bytes, queuedMs, resolve, reject });
      this.#dirty.add(queue);
      if (this.#isScheduled) return;
      this.#isScheduled = true;
      setImmediate(() => {
        this.#isScheduled = false;
        const dirty = [...this.#dirty];
        this.#dirty.clear();
        for (const each of dirty) this.#start(each);
      });
    });
  }

  #start(queue: SlotQueue): void {
    if (queue.isUnderWay || queue.waiting.length === 0) return;
    queue.isUnderWay = true;
    const parts = this.#take(queue);
    void this.#commit(queue, parts).finally(() => {
      queue.isUnderWay = false;
      if (queue.waiting.length > 0) this.#start(queue);
      else this.#queues.delete(keyOf(queue.slot, queue.ack));
    });
  }

  #take({ waiting }: SlotQueue): Part[] {
    if (!this.#options.groupCommit) return waiting.splice(0, 1);
    let count = 0;
    for (let bytes = 0; count < Math.min(waiting.length, MAX_PARTS) && bytes < MAX_BYTES; count++) {
      bytes += (waiting[count] as Part).draft.message.json.length;
    }
    return waiting.splice(0, count);
  }

  async #commit(queue: SlotQueue, taken: readonly Part[]): Promise<void> {
    const { sender, timeoutMs } = this.#options;
    const parts = taken.some(({ claim }) => claim !== undefined) ? await keepOwned(taken) : taken;
    const [first] = parts;
    if (first === undefined) {
      this.#release(taken);
      return;
    }
    const { slot, ack } = queue;
    try {
      const results = await sender.send({ slot, ack, parts, untilMs: first.queuedMs + timeoutMs });
      for (let i = 0; i < parts.length; i++) (parts[i] as Part).resolve([results[i] as PartResult]);
      this.#release(taken);
    } catch (error) {
      // What waits behind the call fails too: a batch must not be stored without its first half, nor in another order.
      const behind = queue.waiting.splice(0);
      for (const part of [...parts, ...behind]) part.reject(error);
      this.#release([...taken, ...behind]);
    }
  }

  /** These are settled, and no longer in the queue. */
  #release(parts: readonly Part[]): void {
    for (const { bytes } of parts) this.bytes -= bytes;
    this.messages -= parts.length;
    if (this.messages === 0) this.#onIdle?.();
  }
}

/** Publishes of one slot that wait for replicas have a queue of their own. */
function keyOf(slot: number, ack: AckLevel): number {
  return 2 * slot + (ack === 'replicated' ? 1 : 0);
}
