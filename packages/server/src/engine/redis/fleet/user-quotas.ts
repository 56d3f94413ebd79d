/**
 * Bounds the streams of a user over all nodes. A node writes how many it has and asks for more in one atomic step, so
 * that nodes that ask at the same moment never exceed the limit together. It writes its whole count each time, so what
 * a lost answer leaves in doubt is right again with the next call.
 *
 * Streams of a dead node are not counted. Nodes that are not known count as alive until Redis has been asked.
 */
import type { UserQuota } from '../../../core/directory.ts';
import type { LiveNodes } from './live-nodes.ts';
import { SlotWrites } from './slot-writes.ts';

/** A user's streams on this node, and how many more are asked for. */
export interface QuotaRequest {
  readonly userId: string;
  readonly held: number;
  readonly wanted: number;
}

export interface QuotaGrant {
  readonly granted: number;
  /** If fewer were granted than wanted, the other nodes that were counted. */
  readonly elsewhere: readonly string[];
}

export interface UserQuotasOptions {
  readonly slotOf: (userId: string) => number;
  readonly nodes: Pick<LiveNodes, 'isAlive' | 'silent' | 'refresh'>;
  /** Calls `lua/fleet/admit_streams.lua`. Nodes in `dead` are not counted. */
  readonly admit: (
    requests: readonly QuotaRequest[],
    dead: readonly string[],
  ) => Promise<readonly QuotaGrant[]>;
}

interface User {
  /** Streams that were admitted and not released. */
  held: number;
  readonly waiting: PromiseWithResolvers<boolean>[];
}

interface Asked {
  readonly userId: string;
  readonly user: User;
  readonly newcomers: PromiseWithResolvers<boolean>[];
}

export class UserQuotas implements UserQuota {
  readonly #options: UserQuotasOptions;
  readonly #users = new Map<string, User>();
  readonly writes: SlotWrites;

  constructor(options: UserQuotasOptions) {
    this.#options = options;
    this.writes = new SlotWrites({
      slotOf: options.slotOf,
      // A new stream waits for it.
      delayMs: 0,
      names: () => this.#users.keys(),
      write: (userIds) => this.#write(userIds),
    });
  }

  reserve(userId: string): Promise<boolean> {
    const newcomer = Promise.withResolvers<boolean>();
    this.#user(userId).waiting.push(newcomer);
    this.writes.add(userId);
    return newcomer.promise;
  }

  release(userId: string): void {
    const user = this.#user(userId);
    if (user.held > 0) user.held--;
    this.writes.add(userId);
  }

  /** Releases all that this node has. */
  async close(timeoutMs: number): Promise<void> {
    for (const user of this.#users.values()) user.held = 0;
    this.writes.addAll();
    await this.writes.close(timeoutMs);
  }

  #user(userId: string): User {
    let user = this.#users.get(userId);
    if (user === undefined) {
      user = { held: 0, waiting: [] };
      this.#users.set(userId, user);
    }
    return user;
  }

  async #write(userIds: readonly string[]): Promise<void> {
    const asked = userIds.map((userId): Asked => {
      const user = this.#user(userId);
      return { userId, user, newcomers: user.waiting.splice(0) };
    });
    try {
      const { nodes } = this.#options;
      const refused = await this.#ask(asked, [...nodes.silent]);
      if (refused.length > 0) await this.#askAgain(refused);
    } catch (error) {
      for (const { newcomers } of asked) for (const newcomer of newcomers.splice(0)) newcomer.reject(error);
      throw error;
    }
    for (const { userId, user, newcomers } of asked) {
      for (const newcomer of newcomers.splice(0)) newcomer.resolve(false);
      if (user.held === 0 && user.waiting.length === 0) this.#users.delete(userId);
    }
  }

  /** Admits newcomers up to the limit. Returns users with newcomers left, and the nodes that were counted for them. */
  async #ask(
    asked: readonly Asked[],
    dead: readonly string[],
  ): Promise<{ asked: Asked; elsewhere: readonly string[] }[]> {
    const requests = asked.map(({ userId, user, newcomers }) => ({
      userId,
      held: user.held,
      wanted: newcomers.length,
    }));
    const grants = await this.#options.admit(requests, dead);
    return asked.flatMap((each, i) => {
      const { granted, elsewhere } = grants[i] as QuotaGrant;
      for (const newcomer of each.newcomers.splice(0, granted)) {
        each.user.held++;
        newcomer.resolve(true);
      }
      return each.newcomers.length > 0 ? [{ asked: each, elsewhere }] : [];
    });
  }

  /** Nodes that are not known to be alive may be dead or may have just started: Redis knows. */
  async #askAgain(refused: readonly { asked: Asked; elsewhere: readonly string[] }[]): Promise<void> {
    const { nodes } = this.#options;
    const isDead = (id: string): boolean => !nodes.isAlive(id);
    if (!refused.some(({ elsewhere }) => elsewhere.some(isDead))) return;
    await nodes.refresh();
    const blocked = refused.filter(({ elsewhere }) => elsewhere.some(isDead));
    if (blocked.length === 0) return;
    const dead = new Set([...nodes.silent, ...blocked.flatMap(({ elsewhere }) => elsewhere.filter(isDead))]);
    await this.#ask(
      blocked.map(({ asked }) => asked),
      [...dead],
    );
  }
}
