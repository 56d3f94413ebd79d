/**
 * Tells Redis how many streams of this node have joined each channel, so that whoever publishes there learns it
 * with the answer and need not ask. Written a few ms after a change.
 */
import type { OnMembership } from '../../../core/directory.ts';
import { GroupedWrites } from './grouped-writes.ts';

export interface AudienceCountsOptions {
  readonly groupOf: (channel: string) => number;
  readonly countOf: (channel: string) => number;
  readonly joinedNames: () => Iterable<string>;
  readonly write: (channels: readonly string[], counts: readonly number[]) => Promise<unknown>;
}

/** Streams that open together are written together. */
const GATHER_MS = 5;

export class AudienceCounts {
  readonly writes: GroupedWrites;
  #isClosing = false;

  constructor({ groupOf, countOf, joinedNames, write }: AudienceCountsOptions) {
    this.writes = new GroupedWrites({
      groupOf,
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

  /** Takes back all that this node has said; its last streams may be closing still. */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosing = true;
    this.writes.addAll();
    await this.writes.close(timeoutMs);
  }
}
