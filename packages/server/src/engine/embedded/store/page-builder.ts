/** Gathers the rows of a page in the columns that travel to the engine's thread. */
import type { PublicationRow } from './schema.ts';
import type { PageReply } from './store-protocol.ts';

export class PageBuilder {
  readonly #numbers: number[] = [];
  readonly #strings: string[] = [];
  readonly #bodies: Uint8Array[] = [];
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** A page takes its first row whatever its size, so that reading always makes progress. */
  hasRoomFor({ size }: PublicationRow): boolean {
    return this.#bodies.length === 0 || this.#bytes + size <= this.#maxBytes;
  }

  /** `index` is that of the row's channel among the channels that were asked for. */
  add(index: number, row: PublicationRow): void {
    this.#numbers.push(index, row.seq, row.offset, row.time_ms, row.body.length);
    this.#strings.push(row.id, row.type, row.extra ?? '');
    this.#bodies.push(row.body);
    this.#bytes += row.body.length;
  }

  finish(reached: readonly number[], lostTo: readonly number[]): PageReply {
    const bodies = new Uint8Array(this.#bytes);
    let end = 0;
    for (const body of this.#bodies) {
      bodies.set(body, end);
      end += body.length;
    }
    return { numbers: Float64Array.from(this.#numbers), strings: this.#strings, bodies, reached, lostTo };
  }
}
