/** Closes what was opened in the reverse order. A start that fails and a stop both unwind it. */

export class Closers {
  readonly #closers: { readonly name: string; readonly close: () => unknown }[] = [];

  /** `close` is awaited. If it is added before opening, it must be harmless when opening has failed. */
  add(name: string, close: () => unknown): void {
    this.#closers.push({ name, close });
  }

  /** Runs all closers even if one fails, and then rejects with the first failure. */
  async unwind(): Promise<void> {
    let failure: Error | undefined;
    for (let closer = this.#closers.pop(); closer !== undefined; closer = this.#closers.pop()) {
      try {
        await closer.close();
      } catch (cause) {
        failure ??= new Error(`${closer.name} could not be closed`, { cause });
      }
    }
    if (failure !== undefined) throw failure;
  }
}
