/**
 * A user's streams over all nodes: a node says how many it has and asks for more in one atomic step, so that nodes
 * that ask at the same moment never get more than there may be. It says its whole count each time: what a lost
 * answer leaves in doubt is right again with the next word.
 *
 * Nodes that nobody knows count as alive until Redis has been asked, and a dead node's streams are not counted.
 */
import type { UserQuota } from '../../../core/directory.ts';
import { GroupedWrites } from './grouped-writes.ts';
import type { LiveNodes } from './live-nodes.ts';

/** A user as a call names it. */
export interface UserClaim {
  readonly userId: string;
  readonly held: number;
  readonly wanted: number;
}

/** How many more it may have; when fewer than wanted: the other nodes that were counted. */
export interface UserGrant {
  readonly granted: number;
  readonly elsewhere: readonly string[];
}

export interface UserSlotsOptions {
  readonly groupOf: (userId: string) => number;
  readonly nodes: Pick<LiveNodes, 'isAlive' | 'silent' | 'refresh'>;
  /** See `lua/admit.lua`. `dead` are not counted. */
  readonly admit: (claims: readonly UserClaim[], dead: readonly string[]) => Promise<readonly UserGrant[]>;
}

interface User {
  /** Streams that were admitted and are not released. */
  held: number;
  readonly waiting: PromiseWithResolvers<boolean>[];
}

interface Asked {
  readonly userId: string;
  readonly user: User;
  readonly newcomers: PromiseWithResolvers<boolean>[];
}

export class UserSlots implements UserQuota {
  readonly #options: UserSlotsOptions;
  readonly #users = new Map<string, User>();
  readonly writes: GroupedWrites;

  constructor(options: UserSlotsOptions) {
    this.#options = options;
    this.writes = new GroupedWrites({
      groupOf: options.groupOf,
      // A newcomer waits for it.
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

  /** Gives back all that this node has. */
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

  /** Lets in as many newcomers as may be; returns those with newcomers left, and who was in their way. */
  async #ask(
    asked: readonly Asked[],
    dead: readonly string[],
  ): Promise<{ asked: Asked; elsewhere: readonly string[] }[]> {
    const claims = asked.map(({ userId, user, newcomers }) => ({
      userId,
      held: user.held,
      wanted: newcomers.length,
    }));
    const grants = await this.#options.admit(claims, dead);
    return asked.flatMap((each, i) => {
      const { granted, elsewhere } = grants[i] as UserGrant;
      for (const newcomer of each.newcomers.splice(0, granted)) {
        each.user.held++;
        newcomer.resolve(true);
      }
      return each.newcomers.length > 0 ? [{ asked: each, elsewhere }] : [];
    });
  }

  /** Nodes that are not known to be alive may have died or may have just begun: Redis knows. */
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
