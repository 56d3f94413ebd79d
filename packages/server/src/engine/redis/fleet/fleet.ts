/**
 * The nodes on one Redis as one service: who is alive, what streams they have, and how many more a user may open.
 * Nothing here is on a message's way to a stream; when Redis is away, this node answers for itself.
 */
import { atMost } from '../../../core/at-most.ts';
import type {
  Audience,
  Directory,
  LocalDirectory,
  OnMembership,
  UserQuota,
} from '../../../core/directory.ts';
import type { SharedCounters, SharedNotes } from '../../../core/shared-state.ts';
import type { ScriptName } from '../link/scripts.ts';
import type { Shard } from '../link/shard.ts';
import type { RedisEngine } from '../redis-engine.ts';
import { AudienceCounts } from './audience-counts.ts';
import { FleetAudience } from './fleet-audience.ts';
import { FleetDirectory } from './fleet-directory.ts';
import { FleetNotes, type NotesReply } from './fleet-notes.ts';
import { type BeatReply, LiveNodes } from './live-nodes.ts';
import { NodeBus } from './node-bus.ts';
import { answerQuestion, type NodeQuestions } from './node-questions.ts';
import { type UserClaim, type UserGrant, UserSlots } from './user-slots.ts';

export interface FleetOptions {
  readonly engine: RedisEngine;
  /** Asked for late: the streams want to know of the fleet before they are there. */
  readonly local: () => LocalDirectory;
  /** 0: no limit. */
  readonly maxConnectionsPerUser: number;
  /** How long a call to Redis may take. */
  readonly callTimeoutMs: number;
}

/** Of the counts of a node, which is long dead when they go. */
const COUNTS_KEPT_MS = 6 * 3_600_000;
const RENEW_INTERVAL_MS = 1000;
/** All counts are said again within ten minutes. */
const RENEW_STEPS = 600;
/** A publisher waits for its answer. */
const COUNT_TIMEOUT_MS = 300;
const CLOSE_TIMEOUT_MS = 1000;

export class Fleet {
  readonly directory: Directory;
  readonly audience: Audience;
  readonly userQuota: UserQuota | undefined;
  readonly onMembership: OnMembership;
  readonly notes: SharedNotes;
  readonly counters: SharedCounters;
  readonly #options: FleetOptions;
  readonly #nodes: LiveNodes;
  readonly #bus: NodeBus<NodeQuestions>;
  readonly #counts: AudienceCounts;
  readonly #slots: UserSlots | undefined;
  #renewTimer: NodeJS.Timeout | undefined;
  #isOpen = false;

  constructor(options: FleetOptions) {
    const { engine, local, maxConnectionsPerUser } = options;
    const { keys, nodeId, router } = engine;
    this.#options = options;
    const nodesKey = keys.nodes();
    this.#nodes = new LiveNodes({
      nodeId,
      beat: async (aliveMs, forgottenMs) =>
        (await this.#call('beat', [nodesKey], [nodeId, String(aliveMs), String(forgottenMs)])) as BeatReply,
      leave: () => this.#call('leave', [nodesKey], [nodeId]),
      onReturned: () => this.#sayAgain(),
      now: () => performance.now(),
    });
    this.#bus = new NodeBus<NodeQuestions>({
      nodeId,
      tell: (to, letter) => this.#tell(to === undefined ? keys.allNodesBus() : keys.nodeBus(to), letter),
      answer: (about, question) => answerQuestion(local(), about, question),
      aliveNodes: () => this.#nodes.alive,
      // What is missed here the next beat brings.
      onChange: () => void this.#nodes.refresh().catch(() => undefined),
      onNote: () => notes.refreshSoon(),
    });
    const notesKey = keys.notes();
    const notes = new FleetNotes({
      write: (texts, keepMs) => this.#call('note', [notesKey], [String(keepMs), ...texts]),
      read: async (after) => (await this.#call('notes', [notesKey], [after])) as NotesReply,
      announce: () => this.#bus.announceNote(),
    });
    this.notes = notes;
    this.counters = { take: (...asked) => this.#take(...asked) };
    this.#counts = new AudienceCounts({
      groupOf: (channel) => router.groupOf(keys.audience(channel)),
      countOf: (channel) => local().countStreams([channel], undefined),
      joinedNames: () => local().joinedNames(),
      write: (channels, counts) => this.#writeCounts(nodeId, channels, counts),
    });
    if (maxConnectionsPerUser > 0) {
      this.#slots = new UserSlots({
        groupOf: (userId) => router.groupOf(keys.user(userId)),
        nodes: this.#nodes,
        admit: (claims, dead) => this.#admit(claims, dead),
      });
    }
    this.onMembership = this.#counts.onMembership;
    this.userQuota = this.#slots;
    this.directory = new FleetDirectory({ nodeId, local, nodes: this.#nodes, bus: this.#bus });
    this.audience = new FleetAudience({
      nodeId,
      local,
      nodes: this.#nodes,
      ask: (id, questions) => this.#bus.ask(id, 'counts', questions, COUNT_TIMEOUT_MS),
      // Whoever publishes next sees that it is still there.
      remove: (id, channel) => this.#writeCounts(id, [channel], [0]).then(noop, noop),
    });
    engine.onNodeMessage = (message) => this.#bus.receive(message);
    engine.onServerReady = (shard) => {
      // It may be another server, whose clock and notes are others.
      notes.readAllSoon();
      if (this.#isOpen) this.#sayAgain(shard);
    };
  }

  /** When the engine is open, and before there are streams. */
  async open(): Promise<void> {
    await this.#nodes.join();
    this.#isOpen = true;
    // Who does not hear it sees this node a second later.
    await this.#bus.announceChange().catch(noop);
    this.#renewTimer = setInterval(() => {
      this.#counts.writes.renewSome(RENEW_STEPS);
      this.#slots?.writes.renewSome(RENEW_STEPS);
    }, RENEW_INTERVAL_MS);
    this.#renewTimer.unref();
  }

  /** When all streams were told to go, and before the engine closes. Does not fail: who cannot say farewell is missed. */
  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearInterval(this.#renewTimer);
    await Promise.all([this.#counts.close(CLOSE_TIMEOUT_MS), this.#slots?.close(CLOSE_TIMEOUT_MS)]);
    const farewell = this.#nodes.leave().then(() => this.#bus.announceChange());
    await atMost(farewell.catch(noop), CLOSE_TIMEOUT_MS);
    this.#bus.close();
  }

  /** A server may have lost what this node has noted there. */
  #sayAgain(shard?: Shard): void {
    const { keys, router } = this.#options.engine;
    const isThere = (key: string): boolean =>
      shard === undefined || router.ownerOf(router.groupOf(key)) === shard;
    this.#counts.writes.addAll((channel) => isThere(keys.audience(channel)));
    this.#slots?.writes.addAll((userId) => isThere(keys.user(userId)));
  }

  async #writeCounts(nodeId: string, channels: readonly string[], counts: readonly number[]): Promise<void> {
    const names = channels.map((channel) => this.#options.engine.keys.audience(channel));
    await this.#call('counts', names, [nodeId, String(COUNTS_KEPT_MS), ...counts.map(String)]);
  }

  async #admit(claims: readonly UserClaim[], dead: readonly string[]): Promise<UserGrant[]> {
    const { engine, maxConnectionsPerUser } = this.#options;
    const names = claims.map(({ userId }) => engine.keys.user(userId));
    const reply = (await this.#call('admit', names, [
      engine.nodeId,
      String(maxConnectionsPerUser),
      String(COUNTS_KEPT_MS),
      dead.join(' '),
      ...claims.flatMap(({ held, wanted }) => [String(held), String(wanted)]),
    ])) as (number | string)[];
    return claims.map((_, i) => ({
      granted: reply[2 * i] as number,
      elsewhere: (reply[2 * i + 1] as string).split(' ').filter((id) => id !== ''),
    }));
  }

  async #take(
    key: string,
    limit: number,
    windowMs: number,
    cost: number,
  ): Promise<{ isAllowed: boolean; remaining: number; resetMs: number }> {
    const args = [String(limit), String(windowMs), String(cost)];
    const reply = await this.#call('rate', [this.#options.engine.keys.rate(key)], args);
    const [allowed, remaining, resetMs] = reply as [number, number, number];
    return { isAllowed: allowed === 1, remaining, resetMs };
  }

  async #tell(bus: string, letter: string): Promise<number> {
    return (await this.#call('tell', [bus], (shard) => [
      shard.busKind === 'sharded' ? 'spublish' : 'publish',
      letter,
    ])) as number;
  }

  async #call(
    script: ScriptName,
    keys: readonly string[],
    args: readonly string[] | ((shard: Shard) => readonly string[]),
  ): Promise<unknown> {
    const { engine, callTimeoutMs } = this.#options;
    const group = engine.router.groupOf(keys[0] as string);
    const argsFor = typeof args === 'function' ? args : () => args;
    const untilMs = performance.now() + callTimeoutMs;
    return (await engine.router.call(script, group, keys, argsFor, { untilMs })).reply;
  }
}

function noop(): void {}
