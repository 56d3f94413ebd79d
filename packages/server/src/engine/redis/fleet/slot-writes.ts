/**
 * Keeps counts of this node in Redis up to date. Names that have changed are written a little later: those whose keys
 * share a slot in one call, and one call of a slot at a time. A write that failed is repeated, and everything is
 * written again from time to time, so that whatever Redis has lost comes back.
 */
export interface SlotWritesOptions {
  readonly slotOf: (name: string) => number;
  /** How long changes gather, ms; 0 for the rest of the turn. */
  readonly delayMs: number;
  /** Writes names of one slot as they are now. If it rejects they are written again. */
  readonly write: (names: readonly string[]) => Promise<void>;
  /** Every name that has a count. */
  readonly names: () => Iterable<string>;
}

interface PendingSlot {
  readonly dirty: Set<string>;
  isUnderWay: boolean;
  /** Set while it waits to be repeated after a failure. */
  retryTimer: NodeJS.Timeout | undefined;
}

const NAMES_PER_CALL = 250;
const RETRY_MS = 500;
/** Slots that are written at once; a cluster has thousands. */
const MAX_UNDER_WAY = 64;

export class SlotWrites {
  readonly #options: SlotWritesOptions;
  readonly #slots = new Map<number, PendingSlot>();
  /** Slots with something to write that are not under way. */
  readonly #ready = new Set<PendingSlot>();
  #underWay = 0;
  #isScheduled = false;
  #isClosed = false;
  /** Names that this round still has to write again, how many at each step, and how many are due. */
  #round: string[] = [];
  #roundStep = 0;
  #due = 0;
  #onIdle: (() => void) | undefined;

  constructor(options: SlotWritesOptions) {
    this.#options = options;
  }

  add(name: string): void {
    const number = this.#options.slotOf(name);
    let slot = this.#slots.get(number);
    if (slot === undefined) {
      slot = { dirty: new Set(), isUnderWay: false, retryTimer: undefined };
      this.#slots.set(number, slot);
    }
    slot.dirty.add(name);
    if (!slot.isUnderWay) this.#makeReady(slot);
  }

  /** Writes all names that `isConcerned`, because Redis may have lost them. */
  addAll(isConcerned: (name: string) => boolean = () => true): void {
    for (const name of this.#options.names()) if (isConcerned(name)) this.add(name);
  }

  /** Writes a share of the names again; after `steps` calls it has written all of them. */
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

  /** Resolves when everything is written, after `timeoutMs` at the latest. Nothing is written later. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#ready.size > 0 || this.#underWay > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
        setTimeout(resolve, timeoutMs);
      });
    }
    this.#isClosed = true;
  }

  #makeReady(slot: PendingSlot): void {
    clearTimeout(slot.retryTimer);
    this.#ready.add(slot);
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
    for (const slot of this.#ready) {
      if (this.#underWay >= MAX_UNDER_WAY || this.#isClosed) return;
      this.#ready.delete(slot);
      void this.#write(slot);
    }
  }

  async #write(slot: PendingSlot): Promise<void> {
    const names: string[] = [];
    for (const name of slot.dirty) {
      if (names.length === NAMES_PER_CALL) break;
      names.push(name);
    }
    for (const name of names) slot.dirty.delete(name);
    slot.isUnderWay = true;
    this.#underWay++;
    const isWritten = await this.#options.write(names).then(
      () => true,
      // The reason is logged where the connection is lost.
      () => false,
    );
    this.#underWay--;
    slot.isUnderWay = false;
    // A new change is written at once, however the last call ended: somebody may wait for it.
    if (slot.dirty.size > 0) this.#ready.add(slot);
    if (!isWritten) {
      for (const name of names) slot.dirty.add(name);
      slot.retryTimer = setTimeout(() => this.#makeReady(slot), RETRY_MS);
      slot.retryTimer.unref();
    }
    if (this.#ready.size > 0) this.#flush();
    else if (this.#underWay === 0) this.#onIdle?.();
  }
}
