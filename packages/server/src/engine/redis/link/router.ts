/**
 * Sends each call to the master that has its slot, and repeats it when a server has refused it because the slot was
 * being moved. A call that may have been done is never repeated here: only its caller knows whether that is safe.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Argument } from '../server/connection.ts';
import { ConnectionError, ReplyError } from '../server/redis-errors.ts';
import { SCRIPTS, type ScriptName } from '../server/scripts.ts';
import type { ServerAddress } from '../server/server-address.ts';
import type { Shard } from '../server/shard.ts';
import type { ShardMap } from './shard-map.ts';

export interface ScriptCall {
  readonly script: ScriptName;
  readonly slot: number;
  readonly keys: readonly string[];
  /** Asked again for every server that the call is sent to. */
  readonly argsFor: (shard: Shard) => readonly Argument[];
  /** The reply's strings come as bytes. */
  readonly asBytes?: boolean;
  /** Until when it is tried, as `performance.now()`. */
  readonly untilMs: number;
  /** Replicas that are waited for, within the same time. */
  readonly replicas?: number | undefined;
}

export interface Answer {
  readonly reply: unknown;
  /** Replicas that have confirmed; 0 when none were waited for. */
  readonly replicas: number;
  readonly shard: Shard;
}

/** Refusals after which the same call may succeed, because nothing was done. */
const TRANSIENT = new Set(['TRYAGAIN', 'CLUSTERDOWN', 'LOADING', 'MASTERDOWN', 'NOSCRIPT', 'BUSY']);
const RETRY_PAUSE_MS = 25;

export class Router {
  readonly #map: ShardMap;
  readonly #random: () => number;

  constructor(map: ShardMap, random: () => number) {
    this.#map = map;
    this.#random = random;
  }

  async call(call: ScriptCall): Promise<Answer> {
    const { slot, untilMs } = call;
    let asked: Shard | undefined;
    for (;;) {
      const shard = asked ?? this.#map.ownerOf(slot);
      const isAsking = asked !== undefined;
      asked = undefined;
      if (shard === undefined) throw new ConnectionError(`no Redis server has slot ${slot}`);
      try {
        return await send(call, shard, isAsking);
      } catch (error) {
        if (!(error instanceof ReplyError)) throw error;
        if (untilMs - performance.now() < RETRY_PAUSE_MS) throw error;
        if (error.code === 'ASK') {
          asked = this.#map.shardAt(addressIn(error, shard));
          while (!asked.isReady && performance.now() < untilMs) await pause(RETRY_PAUSE_MS);
          continue;
        }
        await this.#beforeRetry(slot, error);
      }
    }
  }

  /** Waits until another attempt makes sense, or throws the error when none does. */
  async #beforeRetry(slot: number, error: ReplyError): Promise<void> {
    const hasMoved = error.code === 'MOVED' || error.code === 'READONLY';
    if (!hasMoved && !TRANSIENT.has(error.code)) throw error;
    const before = this.#map.ownerOf(slot);
    if (hasMoved) await this.#map.refresh();
    if (this.#map.ownerOf(slot) === before) await pause(RETRY_PAUSE_MS * (0.5 + this.#random()));
  }
}

async function send(call: ScriptCall, shard: Shard, isAsking: boolean): Promise<Answer> {
  const { script, keys, argsFor, asBytes = false, replicas, untilMs } = call;
  const run = { script: SCRIPTS[script], keys, args: argsFor(shard), asBytes, isAsking };
  if (replicas === undefined) return { reply: await shard.run(run), replicas: 0, shard };
  return { ...(await shard.runReplicated(run, { replicas, untilMs })), shard };
}

/** `MOVED 3999 127.0.0.1:6381`; a server that does not know its host names only the port. */
function addressIn(error: ReplyError, from: Shard): ServerAddress {
  const target = error.message.split(' ')[2] ?? '';
  const colon = target.lastIndexOf(':');
  return { host: target.slice(0, colon) || from.address.host, port: Number(target.slice(colon + 1)) };
}
