/**
 * The nodes on one Redis as one service: which of them are alive, what streams they have, and how many more a user may
 * open. No message waits for any of this; while Redis is unreachable this node answers for itself.
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
import type { RedisLink } from '../link/redis-link.ts';
import type { Keys } from '../names/keys.ts';
import type { Shard } from '../server/shard.ts';
import { AudienceCounts } from './audience-counts.ts';
import { FleetAudience } from './fleet-audience.ts';
import { FleetCalls } from './fleet-calls.ts';
import { FleetDirectory } from './fleet-directory.ts';
import { FleetNotes } from './fleet-notes.ts';
import { LiveNodes } from './live-nodes.ts';
import { NodeBus } from './node-bus.ts';
import { answerQuestion, type NodeQuestions } from './node-questions.ts';
import { UserQuotas } from './user-quotas.ts';

export interface FleetOptions {
  readonly link: RedisLink;
  readonly keys: Keys;
  readonly nodeId: string;
  /** Asked for when it is needed: the streams are made after the fleet. */
  readonly local: () => LocalDirectory;
  /** 0 for no limit. */
  readonly maxConnectionsPerUser: number;
}

const RENEW_INTERVAL_MS = 1000;
/** All counts are written again within ten minutes. */
const RENEW_STEPS = 600;
/** A publisher waits for it. */
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
  readonly #notes: FleetNotes;
  readonly #counts: AudienceCounts;
  readonly #quotas: UserQuotas | undefined;
  #renewTimer: NodeJS.Timeout | undefined;
  #isOpen = false;

  constructor(options: FleetOptions) {
    const { link, keys, nodeId, local, maxConnectionsPerUser } = options;
    this.#options = options;
    const calls = new FleetCalls({ link, keys, nodeId });
    this.counters = calls;
    this.#nodes = new LiveNodes({
      nodeId,
      heartbeat: (aliveMs, forgottenMs) => calls.heartbeat(aliveMs, forgottenMs),
      leave: () => calls.leave(),
      onReturned: () => this.#writeAgain(),
      now: () => performance.now(),
    });
    this.#bus = new NodeBus<NodeQuestions>({
      nodeId,
      send: (to, letter) => calls.sendToNode(to, letter),
      answer: (about, question) => answerQuestion(local(), about, question),
      aliveNodes: () => this.#nodes.alive,
      // A change that is missed here is seen at the next heartbeat.
      onChange: () => void this.#nodes.refresh().catch(noop),
      onNote: () => this.#notes.refreshSoon(),
    });
    this.#notes = new FleetNotes({
      append: (notes, keepMs) => calls.appendNotes(notes, keepMs),
      read: (after) => calls.readNotes(after),
      announce: () => this.#bus.announceNote(),
    });
    this.notes = this.#notes;
    this.#counts = new AudienceCounts({
      slotOf: (channel) => link.slotOf(keys.audience(channel)),
      countOf: (channel) => local().countStreams([channel], undefined),
      joinedNames: () => local().joinedNames(),
      write: (channels, counts) => calls.writeCounts(nodeId, channels, counts),
    });
    this.onMembership = this.#counts.onMembership;
    if (maxConnectionsPerUser > 0) {
      this.#quotas = new UserQuotas({
        slotOf: (userId) => link.slotOf(keys.user(userId)),
        nodes: this.#nodes,
        admit: (requests, dead) => calls.admitStreams(requests, dead, maxConnectionsPerUser),
      });
    }
    this.userQuota = this.#quotas;
    this.directory = new FleetDirectory({ nodeId, local, nodes: this.#nodes, bus: this.#bus });
    this.audience = new FleetAudience({
      nodeId,
      local,
      nodes: this.#nodes,
      ask: (id, questions) => this.#bus.ask(id, 'counts', questions, COUNT_TIMEOUT_MS),
      // If it fails, the next publish finds the count again.
      remove: (id, channel) => calls.writeCounts(id, [channel], [0]).then(noop, noop),
    });
  }

  /** Takes a letter that came to this node, or to all. */
  receive(letter: Buffer): void {
    this.#bus.receive(letter);
  }

  /** A server can be called. It may be another one than before, with another clock and other notes. */
  serverReady(shard: Shard): void {
    this.#notes.readAllSoon();
    if (this.#isOpen) this.#writeAgain(shard);
  }

  /** Called when the engine is open, and before there are streams. */
  async open(): Promise<void> {
    await this.#nodes.join();
    this.#isOpen = true;
    // Nodes that do not get the letter see this node a second later.
    await this.#bus.announceChange().catch(noop);
    this.#renewTimer = setInterval(() => {
      this.#counts.writes.renewSome(RENEW_STEPS);
      this.#quotas?.writes.renewSome(RENEW_STEPS);
    }, RENEW_INTERVAL_MS);
    this.#renewTimer.unref();
  }

  /**
   * Called when all streams were told to go, and before the engine closes. Never rejects: a node that cannot take its
   * leave is declared dead.
   */
  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearInterval(this.#renewTimer);
    await Promise.all([this.#counts.close(CLOSE_TIMEOUT_MS), this.#quotas?.close(CLOSE_TIMEOUT_MS)]);
    const farewell = this.#nodes.leave().then(() => this.#bus.announceChange());
    await atMost(farewell.catch(noop), CLOSE_TIMEOUT_MS);
    this.#bus.close();
  }

  /** Writes this node's counts again, because a server, or all of them, may have lost them. */
  #writeAgain(shard?: Shard): void {
    const { link, keys } = this.#options;
    const isThere = (key: string): boolean => shard === undefined || link.ownerOf(link.slotOf(key)) === shard;
    this.#counts.writes.addAll((channel) => isThere(keys.audience(channel)));
    this.#quotas?.writes.addAll((userId) => isThere(keys.user(userId)));
  }
}

function noop(): void {}
