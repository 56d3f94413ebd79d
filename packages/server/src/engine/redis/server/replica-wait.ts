/**
 * WAIT on one connection. WAIT waits for what its connection wrote last and holds up everything that is sent behind
 * it. So one WAIT serves every call that was answered before it was sent, and none of them takes long.
 */
import type { RedisConnection } from './connection.ts';

const SLICE_MS = 100;

export class ReplicaWait {
  #underWay: Promise<number> | undefined;
  #next: Promise<number> | undefined;

  /** Resolves with the number of replicas that have what was written, after at most some 100 ms. */
  wait(connection: RedisConnection, replicas: number): Promise<number> {
    const send = (): Promise<number> => {
      this.#next = undefined;
      const sent = connection.call(['WAIT', String(replicas), String(SLICE_MS)]).then(Number);
      const over = (): void => {
        if (this.#underWay === sent) this.#underWay = undefined;
      };
      this.#underWay = sent;
      sent.then(over, over);
      return sent;
    };
    if (this.#underWay === undefined) return send();
    this.#next ??= this.#underWay.then(send, send);
    return this.#next;
  }
}
