/**
 * Writes to Redis how many streams of this node have joined each channel, so that publishes bring it back with their
 * answers and nobody has to ask. Written a few ms after a change.
 */
import type { OnMembership } from '../../../core/directory.ts';
import { SlotWrites } from './slot-writes.ts';

export interface AudienceCountsOptions {
  readonly slotOf: (channel: string) => number;
  readonly countOf: (channel: string) => number;
  readonly joinedNames: () => Iterable<string>;
  readonly write: (channels: readonly string[], counts: readonly number[]) => Promise<unknown>;
}

/** Streams that open together are written together. */
const GATHER_MS = 5;

export class AudienceCounts {
  readonly writes: SlotWrites;
  #isClosing = false;

  constructor({ slotOf, countOf, joinedNames, write }: AudienceCountsOptions) {
    this.writes = new SlotWrites({
      slotOf,
      delayMs: GATHER_MS,
      names: joinedNames,
      write: async (channels) => {
        await write(
          channels,
          channels.map((channel) => (this.#isClosing ? 0 : countOf(channel))),
        );
      },
    });
  }

  readonly onMembership: OnMembership = (channels) => {
    for (const { name } of channels) this.writes.add(name);
  };

  /** Removes all that this node has written, although its last streams may still be closing. */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosing = true;
    this.writes.addAll();
    await this.writes.close(timeoutMs);
  }
}
