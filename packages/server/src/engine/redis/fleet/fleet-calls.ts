/** What the fleet asks of Redis: one method for each script of `lua/fleet`. */
import type { SharedCounters } from '../../../core/shared-state.ts';
import type { RedisLink } from '../link/redis-link.ts';
import type { Keys } from '../names/keys.ts';
import type { NotesReply } from './fleet-notes.ts';
import type { HeartbeatReply } from './live-nodes.ts';
import type { QuotaGrant, QuotaRequest } from './user-quotas.ts';

export interface FleetCallsOptions {
  readonly link: RedisLink;
  readonly keys: Keys;
  readonly nodeId: string;
}

/** TTL of a node's counts; much longer than it takes to declare a node dead. */
const COUNTS_KEPT_MS = 6 * 3_600_000;

export class FleetCalls implements SharedCounters {
  readonly #link: RedisLink;
  readonly #keys: Keys;
  readonly #nodeId: string;

  constructor({ link, keys, nodeId }: FleetCallsOptions) {
    this.#link = link;
    this.#keys = keys;
    this.#nodeId = nodeId;
  }

  async heartbeat(aliveMs: number, forgottenMs: number): Promise<HeartbeatReply> {
    const args = [this.#nodeId, String(aliveMs), String(forgottenMs)];
    const reply = await this.#link.call({ script: 'heartbeat', keys: [this.#keys.nodes()], args });
    return reply as HeartbeatReply;
  }

  async leave(): Promise<void> {
    await this.#link.call({ script: 'leaveFleet', keys: [this.#keys.nodes()], args: [this.#nodeId] });
  }

  /** Sends to one node or, without `nodeId`, to all. Resolves with the number of listeners. */
  async sendToNode(nodeId: string | undefined, letter: string): Promise<number> {
    const bus = nodeId === undefined ? this.#keys.allNodesBus() : this.#keys.nodeBus(nodeId);
    const reply = await this.#link.call({
      script: 'sendToNode',
      keys: [bus],
      args: ({ publishCommand }) => [publishCommand, letter],
    });
    return reply as number;
  }

  /** Writes how many streams a node has on channels of one slot. */
  async writeCounts(nodeId: string, channels: readonly string[], counts: readonly number[]): Promise<void> {
    const keys = channels.map((channel) => this.#keys.audience(channel));
    const args = [nodeId, String(COUNTS_KEPT_MS), ...counts.map(String)];
    await this.#link.call({ script: 'writeCounts', keys, args });
  }

  /** Asks for streams of users of one slot. Nodes in `dead` are not counted. */
  async admitStreams(
    requests: readonly QuotaRequest[],
    dead: readonly string[],
    maxConnectionsPerUser: number,
  ): Promise<QuotaGrant[]> {
    const keys = requests.map(({ userId }) => this.#keys.user(userId));
    const args = [
      this.#nodeId,
      String(maxConnectionsPerUser),
      String(COUNTS_KEPT_MS),
      dead.join(' '),
      ...requests.flatMap(({ held, wanted }) => [String(held), String(wanted)]),
    ];
    const reply = await this.#link.call({ script: 'admitStreams', keys, args });
    const results = reply as (number | string)[];
    return requests.map((_, i) => ({
      granted: results[2 * i] as number,
      elsewhere: (results[2 * i + 1] as string).split(' ').filter((id) => id !== ''),
    }));
  }

  async appendNotes(notes: readonly string[], keepMs: number): Promise<void> {
    const args = [String(keepMs), ...notes];
    await this.#link.call({ script: 'appendNotes', keys: [this.#keys.notes()], args });
  }

  async readNotes(after: string): Promise<NotesReply> {
    const reply = await this.#link.call({ script: 'readNotes', keys: [this.#keys.notes()], args: [after] });
    return reply as NotesReply;
  }

  /** See `SharedCounters`. */
  async take(
    key: string,
    limit: number,
    windowMs: number,
    cost: number,
  ): Promise<{ isAllowed: boolean; remaining: number; resetMs: number }> {
    const args = [String(limit), String(windowMs), String(cost)];
    const reply = await this.#link.call({ script: 'takeRate', keys: [this.#keys.rate(key)], args });
    const [allowed, remaining, resetMs] = reply as [number, number, number];
    return { isAllowed: allowed === 1, remaining, resetMs };
  }
}
