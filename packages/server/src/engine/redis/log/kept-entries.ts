/** The part of a log that readers may see: the bound by count holds at once, although Redis trims a little later. */
import { type EntryFacts, factsFrom, type LogFacts, readFacts } from './codec.ts';

/** Lowest offset that the bound by count keeps. */
export function lowestKept(log: LogFacts, maxMessages: number): number {
  return log.offset - maxMessages + 1;
}

/** Facts of what is kept, from the facts of the history's first entry; `undefined` when there is no entry. */
export function firstKept(log: LogFacts, facts: Buffer, maxMessages: number): EntryFacts | undefined {
  return facts.length === 0 ? undefined : factsFrom(readFacts(facts), lowestKept(log, maxMessages));
}
