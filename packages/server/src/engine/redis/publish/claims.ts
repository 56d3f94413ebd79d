/**
 * Claims of ids in a cluster. Receipts are in the slots of a message's channels there, so an id that was used with
 * other channels would not be found; a claim makes it belong to the first message that comes with it.
 */
import type { Draft } from '../../../core/message.ts';
import type { RedisLink } from '../link/redis-link.ts';
import type { Keys } from '../names/keys.ts';
import { CONFLICT, type PartResult, type PublishPart } from './publish-call.ts';
import { publishError } from './publish-errors.ts';

export interface ClaimsOptions {
  readonly link: RedisLink;
  readonly keys: Keys;
  readonly idempotencyTtlMs: number;
}

export class Claims {
  readonly #options: ClaimsOptions;

  constructor(options: ClaimsOptions) {
    this.#options = options;
  }

  /** Resolves with whether the id belongs to this message. `undefined` where receipts alone tell that. */
  take({ message, fingerprint }: Draft): Promise<boolean> | undefined {
    if (fingerprint === undefined || !this.#options.link.isCluster) return undefined;
    const claim = this.#take(message.id, fingerprint);
    // It may fail long before its turn in the queue comes.
    claim.catch(() => undefined);
    return claim;
  }

  async #take(id: string, fingerprint: string): Promise<boolean> {
    const { link, keys, idempotencyTtlMs } = this.#options;
    const args = [String(idempotencyTtlMs), fingerprint];
    const reply = await link.call({ script: 'claim', keys: [keys.claim(id)], args });
    return (reply as [number])[0] === 1;
  }
}

/** A part that waits for its claim. */
interface ClaimedPart extends PublishPart {
  readonly claim: Promise<boolean> | undefined;
  readonly resolve: (results: readonly PartResult[]) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Returns the parts whose ids belong to their messages; the others are settled. Where a claim fails, later parts of the same
 * channels fail too: their publisher sends all of them again, and must not find them in another order.
 */
export async function keepOwned<P extends ClaimedPart>(parts: readonly P[]): Promise<readonly P[]> {
  const claims = await Promise.allSettled(parts.map(({ claim }) => claim ?? OWNED));
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

const OWNED = Promise.resolve(true);
