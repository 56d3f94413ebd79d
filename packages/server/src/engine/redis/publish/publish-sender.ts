/**
 * Sends one call of publishes. A server does nothing for a call after its deadline, so a publisher that was told of a
 * failure does not get a late success.
 */
import type { AckLevel } from '../../../core/message.ts';
import type { RedisLink } from '../link/redis-link.ts';
import type { LogBounds } from '../log/log-bounds.ts';
import type { Keys } from '../names/keys.ts';
import type { Shard } from '../server/shard.ts';
import {
  decodeReply,
  encodeCall,
  encodeHeader,
  type PartResult,
  type PublishPart,
  type PublishReply,
  type ReceiptPlan,
} from './publish-call.ts';
import { notReplicated, publishError } from './publish-errors.ts';
import { StreamsByNodeParser } from './streams-by-node.ts';

export interface PublishSenderOptions {
  readonly link: RedisLink;
  readonly keys: Keys;
  readonly bounds: LogBounds;
  readonly idempotencyTtlMs: number;
  readonly ackReplicas: number;
  /** How long a publisher waits before it is told of a failure. */
  readonly timeoutMs: number;
  readonly newEpoch: () => string;
  /** Highest offset stored for a channel on a server run. Called before publishers are acknowledged. */
  readonly onStored: (runId: string, channel: string, epoch: string, offset: number) => void;
  /** A call was answered. */
  readonly onCommitted: (publications: number, seconds: number) => void;
}

export interface PublishCall {
  readonly slot: number;
  readonly ack: AckLevel;
  readonly parts: readonly PublishPart[];
  /** When the publishers are told of a failure, as `performance.now()`. */
  readonly untilMs: number;
}

/** A server's deadline is earlier than the publishers' by so much, because clocks differ. */
const CLOCK_MARGIN_MS = 100;

export class PublishSender {
  readonly #options: PublishSenderOptions;
  readonly #streams = new StreamsByNodeParser();

  constructor(options: PublishSenderOptions) {
    this.#options = options;
  }

  /** Resolves with the results in the order of the parts. Rejects with the error for their publishers. */
  async send({ slot, ack, parts, untilMs }: PublishCall): Promise<readonly PartResult[]> {
    const { link, keys, ackReplicas, timeoutMs, onStored, onCommitted } = this.#options;
    const startedMs = performance.now();
    const isReplicated = ack === 'replicated';
    try {
      const call = encodeCall(parts, keys, this.#receiptPlan(slot));
      const { reply, replicas, shard } = await link.route({
        script: 'publish',
        slot,
        keys: call.keys,
        argsFor: (target) => [...this.#header(target, untilMs, isReplicated), ...call.args],
        untilMs,
        replicas: isReplicated ? ackReplicas : undefined,
      });
      if (isReplicated && replicas < ackReplicas) throw notReplicated(replicas, ackReplicas, timeoutMs);
      onCommitted(parts.length, (performance.now() - startedMs) / 1000);
      const { runId } = shard;
      return decodeReply(reply as PublishReply, {
        parts,
        channels: call.channels,
        parseStreams: (text) => this.#streams.parse(text),
        onStored: (channel, epoch, offset) => onStored(runId, channel, epoch, offset),
      });
    } catch (error) {
      throw publishError(error);
    }
  }

  #header({ runId, clock, publishCommand }: Shard, untilMs: number, renewsRepeats: boolean): string[] {
    const { bounds, idempotencyTtlMs, newEpoch } = this.#options;
    const leftMs = Math.max(1, untilMs - performance.now() - CLOCK_MARGIN_MS);
    return encodeHeader({
      runId,
      deadlineUs: clock.us(leftMs),
      newEpoch: newEpoch(),
      bounds,
      idempotencyTtlMs,
      publishCommand,
      renewsRepeats,
    });
  }

  #receiptPlan(slot: number): ReceiptPlan {
    const { link, idempotencyTtlMs } = this.#options;
    if (link.isCluster) return { kind: 'keys' };
    // If no server has the slot the call fails anyway.
    return { kind: 'windows', idempotencyTtlMs, serverMs: (link.ownerOf(slot)?.clock.us() ?? 0) / 1000 };
  }
}
