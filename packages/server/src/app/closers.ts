/** What was opened, closed in the reverse order. A start that fails and a stop both unwind it. */

export class Closers {
  readonly #closers: { readonly name: string; readonly close: () => unknown }[] = [];

  /** `close` is awaited; it may be called although what it closes was not opened to the end. */
  add(name: string, close: () => unknown): void {
    this.#closers.push({ name, close });
  }

  /** One that fails keeps none of the others open. Rejects with the first failure when all are done. */
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
