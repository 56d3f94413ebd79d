/** How many streams of each node have joined a channel, as a publish brings it back. */

export type StreamsByNode = ReadonlyMap<string, number>;

export const NO_STREAMS: StreamsByNode = new Map();

const MAX_KNOWN = 1000;

/** Parses once what comes with nearly every publish: most channels of a call have been joined by the same nodes. */
export class StreamsByNodeParser {
  readonly #known = new Map<string, StreamsByNode>();

  /** Parses `node count node count …`. */
  parse(text: string): StreamsByNode {
    if (text === '') return NO_STREAMS;
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    const words = text.split(' ');
    const streams = new Map<string, number>();
    for (let i = 0; i < words.length; i += 2) streams.set(words[i] as string, Number(words[i + 1]));
    this.#known.set(text, streams);
    return streams;
  }
}
