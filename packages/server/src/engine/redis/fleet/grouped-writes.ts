/**
 * Keeps what Redis has of this node's counts as they are here: names that have changed are written a little later,
 * those whose keys share a slot in one call, one call of a slot at a time. What could not be written is written
 * again, and all is from time to time, so that whatever was lost on the other side comes back.
 */
export interface GroupedWritesOptions {
  readonly groupOf: (name: string) => number;
  /** How long changes gather, ms; 0: within a turn. */
  readonly delayMs: number;
  /** Writes these names, of one group, as they are now. When it rejects they are written again. */
  readonly write: (names: readonly string[]) => Promise<void>;
  /** Every name that there is something of. */
  readonly names: () => Iterable<string>;
}

interface Group {
  readonly dirty: Set<string>;
  isUnderWay: boolean;
  /** Set while it waits to be written again after a failure. */
  retryTimer: NodeJS.Timeout | undefined;
}

const NAMES_PER_CALL = 250;
const RETRY_MS = 500;
/** Groups at once: a cluster has thousands of slots. */
const MAX_UNDER_WAY = 64;

export class GroupedWrites {
  readonly #options: GroupedWritesOptions;
  readonly #groups = new Map<number, Group>();
  /** Groups with something to write that are not under way. */
  readonly #ready = new Set<Group>();
  #underWay = 0;
  #isScheduled = false;
  #isClosed = false;
  /** Names that this round has still to write again, how many of them at a step, and how many are due. */
  #round: string[] = [];
  #roundStep = 0;
  #due = 0;
  #onIdle: (() => void) | undefined;

  constructor(options: GroupedWritesOptions) {
    this.#options = options;
  }

  add(name: string): void {
    const number = this.#options.groupOf(name);
    let group = this.#groups.get(number);
    if (group === undefined) {
      group = { dirty: new Set(), isUnderWay: false, retryTimer: undefined };
      this.#groups.set(number, group);
    }
    group.dirty.add(name);
    if (!group.isUnderWay) this.#makeReady(group);
  }

  /** Writes all names that `isConcerned`, because the other side may have lost them. */
  addAll(isConcerned: (name: string) => boolean = () => true): void {
    for (const name of this.#options.names()) if (isConcerned(name)) this.add(name);
  }

  /** Writes some of the names again; after so many `steps` it has been all of them. */
  renewSome(steps: number): void {
    if (this.#round.length === 0) {
      this.#round = [...this.#options.names()];
      this.#roundStep = this.#round.length / steps;
      this.#due = 0;
    }
    this.#due += this.#roundStep;
    const count = Math.floor(this.#due);
    this.#due -= count;
    for (const name of this.#round.splice(0, count)) this.add(name);
  }

  /** Resolves when all is written, or at the latest after `timeoutMs`; nothing is written later. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#ready.size > 0 || this.#underWay > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
        setTimeout(resolve, timeoutMs);
      });
    }
    this.#isClosed = true;
  }

  #makeReady(group: Group): void {
    clearTimeout(group.retryTimer);
    this.#ready.add(group);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    const flush = (): void => {
      this.#isScheduled = false;
      this.#flush();
    };
    if (this.#options.delayMs === 0) setImmediate(flush);
    else setTimeout(flush, this.#options.delayMs);
  }

  #flush(): void {
    for (const group of this.#ready) {
      if (this.#underWay >= MAX_UNDER_WAY || this.#isClosed) return;
      this.#ready.delete(group);
      void this.#write(group);
    }
  }

  async #write(group: Group): Promise<void> {
    const names: string[] = [];
    for (const name of group.dirty) {
      if (names.length === NAMES_PER_CALL) break;
      names.push(name);
    }
    for (const name of names) group.dirty.delete(name);
    group.isUnderWay = true;
    this.#underWay++;
    const isWritten = await this.#options.write(names).then(
      () => true,
      // Whoever writes knows why.
      () => false,
    );
    this.#underWay--;
    group.isUnderWay = false;
    // What is new is tried at once, however the last call ended: somebody may wait for it.
    if (group.dirty.size > 0) this.#ready.add(group);
    if (!isWritten) {
      for (const name of names) group.dirty.add(name);
      group.retryTimer = setTimeout(() => this.#makeReady(group), RETRY_MS);
      group.retryTimer.unref();
    }
    if (this.#ready.size > 0) this.#flush();
    else if (this.#underWay === 0) this.#onIdle?.();
  }
}
