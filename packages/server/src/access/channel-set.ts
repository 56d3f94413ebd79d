/**
 * A set of channels as credentials carry it: names, and beginnings of names, written `task:*`, `kb:tenant1-*`, or
 * `*` for all. A star stands at the end only: matching is then a comparison of beginnings, linear in the name
 * whatever the pattern, and whether one set lies within another can be decided.
 *
 * Names and patterns stay apart: what is given as a name stays one, although it may end in a star. A user who calls
 * himself `*` gets `user:*`, the one channel of that name, and not everybody's.
 */
import { channelNameProblem, channelOfQueryName, nameProblem } from '@message-push/protocol';

/** Entries of one set. */
export const MAX_CHANNEL_ENTRIES = 256;

/** The set as JSON carries it. A beginning that is empty means all channels. */
export interface ChannelSetJson {
  readonly names: readonly string[];
  readonly beginnings: readonly string[];
}

export class ChannelSet {
  static readonly none = new ChannelSet([], []);
  static readonly all = new ChannelSet([], ['']);

  readonly #names: ReadonlySet<string>;
  /** None of them begins with another. */
  readonly #beginnings: readonly string[];

  private constructor(names: Iterable<string>, beginnings: Iterable<string>) {
    this.#beginnings = withoutCovered([...new Set(beginnings)]);
    this.#names = new Set([...names].filter((name) => !this.#isBegun(name)));
  }

  /** Of whole channel names, which are checked by whoever made them. */
  static ofNames(names: Iterable<string>): ChannelSet {
    return new ChannelSet(names, []);
  }

  /** Of patterns without a `patternProblem`. A bare word is a `channel:` name, as in a stream's URL. */
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

  /** For people: names and patterns. */
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

  /** Every channel that begins so is in the set. */
  hasAllOf(beginning: string): boolean {
    return this.#isBegun(beginning);
  }

  /** The first name or pattern of `other` that this set does not hold whole. */
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

/** Sorted, a beginning comes right before what it begins. */
function withoutCovered(beginnings: string[]): string[] {
  const kept: string[] = [];
  for (const beginning of beginnings.sort()) {
    const last = kept.at(-1);
    if (last === undefined || !beginning.startsWith(last)) kept.push(beginning);
  }
  return kept;
}

/** Why `pattern` is none, as the rest of a sentence. */
export function patternProblem(pattern: string): string | undefined {
  if (pattern === '*') return undefined;
  const isOpen = pattern.endsWith('*');
  const body = isOpen ? pattern.slice(0, -1) : pattern;
  if (body.includes('*')) return 'must have a * at its end only';
  const channel = channelOfQueryName(body);
  return isOpen ? nameProblem(channel) : channelNameProblem(channel);
}

/** What is wrong with a list of patterns, as the rest of a sentence; undefined when it is one. */
export function patternsProblem(value: unknown): string | undefined {
  if (!Array.isArray(value)) return 'must be an array of channel names and patterns';
  if (value.length > MAX_CHANNEL_ENTRIES) return `must have at most ${MAX_CHANNEL_ENTRIES} entries`;
  for (const [i, entry] of value.entries()) {
    if (typeof entry !== 'string') return `must hold text only; entry ${i} is none`;
    const problem = patternProblem(entry);
    if (problem !== undefined) return `entry ${i} ${problem}`;
  }
  return undefined;
}
