/**
 * A set of channels as credentials carry it: names, and prefixes of names, written `task:*`, `kb:tenant1-*`, or `*` for
 * all. The star may stand only at the end. Matching is then a comparison of prefixes, linear in the name whatever the
 * pattern, and inclusion of one set in another is decidable.
 *
 * Names and patterns are kept apart: a name stays a name even if it ends in a star. A user whose id is `*` gets the one
 * channel named `user:*`, not everybody's.
 */
import { channelNameProblem, channelOfQueryName, nameProblem } from '@message-push/protocol';

/** Limit on the entries of one set. */
export const MAX_CHANNEL_ENTRIES = 256;

/** The JSON form of a set. An empty beginning stands for all channels. */
export interface ChannelSetJson {
  readonly names: readonly string[];
  readonly beginnings: readonly string[];
}

export class ChannelSet {
  static readonly none = new ChannelSet([], []);
  static readonly all = new ChannelSet([], ['']);

  readonly #names: ReadonlySet<string>;
  /** Invariant: no beginning is a prefix of another. */
  readonly #beginnings: readonly string[];

  private constructor(names: Iterable<string>, beginnings: Iterable<string>) {
    this.#beginnings = withoutCovered([...new Set(beginnings)]);
    this.#names = new Set([...names].filter((name) => !this.#isBegun(name)));
  }

  /** The set of these full channel names. The caller has validated them. */
  static ofNames(names: Iterable<string>): ChannelSet {
    return new ChannelSet(names, []);
  }

  /**
   * The set of these patterns, which have no `patternProblem`. A bare word is a `channel:` name, as in a stream's
   * URL.
   */
  static ofPatterns(patterns: Iterable<string>): ChannelSet {
    const names: string[] = [];
    const beginnings: string[] = [];
    for (const pattern of patterns) {
      if (pattern === '*') beginnings.push('');
      else if (pattern.endsWith('*')) beginnings.push(channelOfQueryName(pattern).slice(0, -1));
      else names.push(channelOfQueryName(pattern));
    }
    return new ChannelSet(names, beginnings);
  }

  static fromJson({ names, beginnings }: ChannelSetJson): ChannelSet {
    return new ChannelSet(names, beginnings);
  }

  toJson(): ChannelSetJson {
    return { names: [...this.#names], beginnings: this.#beginnings };
  }

  /** The set as names and patterns, for display. */
  toPatterns(): string[] {
    return [...this.#names, ...this.#beginnings.map((beginning) => `${beginning}*`)];
  }

  get isEmpty(): boolean {
    return this.#names.size === 0 && this.#beginnings.length === 0;
  }

  get isAll(): boolean {
    return this.#beginnings[0] === '';
  }

  has(channel: string): boolean {
    return this.#names.has(channel) || this.#isBegun(channel);
  }

  /** Tells whether every channel with this prefix is in the set. */
  hasAllOf(beginning: string): boolean {
    return this.#isBegun(beginning);
  }

  /** Returns the first name or pattern of `other` that this set does not fully contain. */
  firstBeyond(other: ChannelSet): string | undefined {
    for (const name of other.#names) if (!this.has(name)) return name;
    for (const beginning of other.#beginnings) if (!this.#isBegun(beginning)) return `${beginning}*`;
    return undefined;
  }

  union(other: ChannelSet): ChannelSet {
    if (other.isEmpty || this.isAll) return this;
    if (this.isEmpty || other.isAll) return other;
    return new ChannelSet([...this.#names, ...other.#names], [...this.#beginnings, ...other.#beginnings]);
  }

  #isBegun(text: string): boolean {
    return this.#beginnings.some((beginning) => text.startsWith(beginning));
  }
}

/** Drops beginnings that another one covers. When sorted, a prefix comes right before what it covers. */
function withoutCovered(beginnings: string[]): string[] {
  const kept: string[] = [];
  for (const beginning of beginnings.sort()) {
    const last = kept.at(-1);
    if (last === undefined || !beginning.startsWith(last)) kept.push(beginning);
  }
  return kept;
}

/** Returns why `pattern` is invalid, as the rest of a sentence; `undefined` when it is valid. */
export function patternProblem(pattern: string): string | undefined {
  if (pattern === '*') return undefined;
  const isOpen = pattern.endsWith('*');
  const body = isOpen ? pattern.slice(0, -1) : pattern;
  if (body.includes('*')) return 'must have a * at its end only';
  const channel = channelOfQueryName(body);
  return isOpen ? nameProblem(channel) : channelNameProblem(channel);
}

/** Returns why a list of patterns is invalid, as the rest of a sentence; `undefined` when it is valid. */
export function patternsProblem(value: unknown): string | undefined {
  if (!Array.isArray(value)) return 'must be an array of channel names and patterns';
  if (value.length > MAX_CHANNEL_ENTRIES) return `must have at most ${MAX_CHANNEL_ENTRIES} entries`;
  for (const [i, entry] of value.entries()) {
    if (typeof entry !== 'string') return `must hold text only; entry ${i} is not text`;
    const problem = patternProblem(entry);
    if (problem !== undefined) return `entry ${i} ${problem}`;
  }
  return undefined;
}
