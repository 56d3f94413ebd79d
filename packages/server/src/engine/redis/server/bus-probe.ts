/**
 * Proof that a listener receives: every second this node publishes a probe through the server to itself. A listener
 * that has brought none for some seconds is deaf, although its connection looks well, and is replaced.
 */
import type { BusKind, RedisConnection } from './connection.ts';
import type { Listener } from './listener.ts';

export interface BusProbeOptions {
  readonly listener: Listener;
  readonly busKind: () => BusKind;
  /** A bus channel of this node's whose slot the server has. It changes as slots move. */
  readonly nameOf: () => string;
}

export const PROBE_INTERVAL_MS = 1000;
const DEAF_AFTER_MS = 3000;

export class BusProbe {
  readonly #options: BusProbeOptions;
  readonly #isProven = Promise.withResolvers<void>();
  #name = '';
  #returnedMs = 0;
  #lagMs: number | undefined;

  constructor(options: BusProbeOptions) {
    this.#options = options;
  }

  /** Bus channel of the probe; '' before the first. */
  get name(): string {
    return this.#name;
  }

  /** Resolves when the first probe has returned. */
  get proven(): Promise<void> {
    return this.#isProven.promise;
  }

  /** Time that the last probe took, ms; more while the next one is overdue. `undefined` before the first. */
  get lagMs(): number | undefined {
    if (this.#lagMs === undefined) return undefined;
    const overdueMs = performance.now() - this.#returnedMs - PROBE_INTERVAL_MS;
    return Math.max(this.#lagMs, overdueMs);
  }

  /** Starts to count anew: the listener has just connected. */
  reset(): void {
    this.#returnedMs = performance.now();
  }

  /** Sends a probe, or replaces the listener when none came back for too long. */
  send(commands: RedisConnection): void {
    const { listener, nameOf } = this.#options;
    if (!listener.isConnected) return;
    const name = nameOf();
    if (name !== this.#name) {
      if (this.#name !== '') listener.unsubscribe([this.#name]);
      this.#name = name;
      this.reset();
      listener.subscribe([name]).then(
        () => this.#publish(commands),
        () => undefined,
      );
    } else if (performance.now() - this.#returnedMs > DEAF_AFTER_MS) {
      this.reset();
      listener.reconnect(`no probe came back over the bus for ${DEAF_AFTER_MS} ms`);
    } else this.#publish(commands);
  }

  /** A probe has come back. */
  receive(message: Buffer): void {
    this.reset();
    this.#lagMs = Math.max(0, this.#returnedMs - Number(message.toString()));
    this.#isProven.resolve();
  }

  #publish(commands: RedisConnection): void {
    const publish = this.#options.busKind() === 'sharded' ? 'SPUBLISH' : 'PUBLISH';
    commands.call([publish, this.#name, String(performance.now())]).catch(() => undefined);
  }
}
