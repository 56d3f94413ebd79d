/** Hands publications to the engine's listener: all that one read of the socket has brought, together. */
import type { EngineListener } from '../../../core/engine.ts';
import type { Publication } from '../../../core/message.ts';

export class Announcer {
  #listener: EngineListener | undefined;
  #pending: Publication[] = [];

  open(listener: EngineListener): void {
    this.#listener = listener;
  }

  announce(publication: Publication): void {
    if (this.#pending.push(publication) > 1) return;
    queueMicrotask(() => {
      const publications = this.#pending;
      this.#pending = [];
      this.#listener?.onPublications(publications);
    });
  }

  /** Announcements of these channels may have been lost. */
  suspect(channels: readonly string[]): void {
    if (channels.length > 0) this.#listener?.onSuspect(channels);
  }
}
