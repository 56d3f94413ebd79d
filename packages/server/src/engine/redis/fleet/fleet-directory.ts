/** Views of all nodes: this node's own, and what the others answer within a second. */
import type {
  ConnectionPage,
  ConnectionQuery,
  ConnectionView,
  Directory,
  Gathered,
  JoinedQuery,
  LocalDirectory,
  PresenceEntry,
  Renewal,
  StreamTotals,
  ViewScope,
} from '../../../core/directory.ts';
import { RequestError } from '../../../core/errors.ts';
import { credentialToJson, type StreamCredential } from '../../../core/stream-credential.ts';
import { nodeOfConnection } from '../names/connection-id.ts';
import type { LiveNodes } from './live-nodes.ts';
import { type Cut, mergeJoined, mergePages, mergePresence, mergeTotals } from './merge-views.ts';
import type { NodeBus } from './node-bus.ts';
import type { NodeQuestions } from './node-questions.ts';

export interface FleetDirectoryOptions {
  readonly nodeId: string;
  readonly local: () => LocalDirectory;
  readonly nodes: Pick<LiveNodes, 'alive' | 'isAlive'>;
  readonly bus: NodeBus<NodeQuestions>;
}

const TIMEOUT_MS = 1000;
/**
 * Bounds of the answers. They share a connection with publications, and Redis closes it when 32 MB wait on it: all
 * answers together must stay far below.
 */
const MAX_ANSWERS_BYTES = 8 * 1024 * 1024;
const MAX_ANSWER_BYTES = 1024 * 1024;

export class FleetDirectory implements Directory {
  readonly #options: FleetDirectoryOptions;

  constructor(options: FleetDirectoryOptions) {
    this.#options = options;
  }

  get liveNodes(): number {
    return this.#options.nodes.alive.size;
  }

  async connections(query: ConnectionQuery, scope: ViewScope): Promise<Gathered<ConnectionPage>> {
    const own = (): Cut<ConnectionPage> => whole(this.#local.connections(query));
    const question = { ...query, maxBytes: this.#maxBytes };
    const order = { limit: query.limit, isOrdered: query.channel === undefined };
    return this.#gather('connections', question, scope, own, (pages) => mergePages(pages, order));
  }

  async presence(channel: string, scope: ViewScope): Promise<Gathered<readonly PresenceEntry[]>> {
    const own = (): Cut<readonly PresenceEntry[]> => whole(this.#local.presence(channel));
    const question = { channel, maxBytes: this.#maxBytes };
    return this.#gather('presence', question, scope, own, (cuts) =>
      mergePresence(cuts.map(({ view }) => view)),
    );
  }

  async totals(scope: ViewScope): Promise<Gathered<StreamTotals>> {
    const own = (): Cut<StreamTotals> => whole(this.#local.totals());
    return this.#gather('totals', { maxBytes: this.#maxBytes }, scope, own, (cuts) =>
      mergeTotals(cuts.map(({ view }) => view)),
    );
  }

  /** Never cut: names are short, and a page must be complete for the next one to follow it. */
  async joinedChannels(query: JoinedQuery, scope: ViewScope): Promise<Gathered<ReadonlyMap<string, number>>> {
    const own = (): ReadonlyMap<string, number> => this.#local.joinedChannels(query);
    if (scope === 'node') return { view: own(), nodes: { answered: 1, known: 1 }, isCut: false };
    const answers = await this.#options.bus.askAll('joinedChannels', query, TIMEOUT_MS);
    return {
      view: mergeJoined([own(), ...answers.values()], query),
      nodes: this.#tally(answers),
      isCut: false,
    };
  }

  async kick(connectionId: string, scope: ViewScope): Promise<boolean> {
    const node = scope === 'node' ? undefined : this.#otherNodeOf(connectionId);
    if (node === undefined) return this.#local.kick(connectionId);
    return (await this.#askOwner(node, 'kick', connectionId)) ?? false;
  }

  async find(connectionId: string): Promise<ConnectionView | undefined> {
    const node = this.#otherNodeOf(connectionId);
    if (node === undefined) return this.#local.find(connectionId);
    return (await this.#askOwner(node, 'find', connectionId)) ?? undefined;
  }

  async renew(connectionId: string, credential: StreamCredential): Promise<Renewal> {
    const node = this.#otherNodeOf(connectionId);
    if (node === undefined) return this.#local.renew(connectionId, credential);
    const question = { connectionId, credential: credentialToJson(credential) };
    return (await this.#askOwner(node, 'renew', question)) ?? 'not_found';
  }

  /** `undefined` when this node has it, or none. */
  #otherNodeOf(connectionId: string): string | undefined {
    const node = nodeOfConnection(connectionId);
    return node === this.#options.nodeId ? undefined : node;
  }

  /** Resolves with `undefined` when the node is dead. */
  async #askOwner<K extends 'kick' | 'find' | 'renew'>(
    node: string,
    about: K,
    question: NodeQuestions[K]['question'],
  ): Promise<NodeQuestions[K]['answer'] | undefined> {
    const { nodes, bus } = this.#options;
    const answer = await bus.ask(node, about, question, TIMEOUT_MS);
    if (answer !== undefined || !nodes.isAlive(node)) return answer;
    const problem = `node ${node}, which has the connection, does not answer`;
    throw new RequestError('engine_unavailable', problem, { retryAfterSeconds: 1 });
  }

  get #local(): LocalDirectory {
    return this.#options.local();
  }

  get #maxBytes(): number {
    return Math.min(MAX_ANSWER_BYTES, Math.floor(MAX_ANSWERS_BYTES / this.liveNodes));
  }

  async #gather<K extends 'connections' | 'presence' | 'totals', T>(
    about: K,
    question: NodeQuestions[K]['question'],
    scope: ViewScope,
    own: () => Cut<T>,
    merge: (cuts: readonly Cut<T>[]) => T,
  ): Promise<Gathered<T>> {
    if (scope === 'node') return { view: own().view, nodes: { answered: 1, known: 1 }, isCut: false };
    const answers: ReadonlyMap<string, unknown> = await this.#options.bus.askAll(about, question, TIMEOUT_MS);
    const cuts = [own(), ...(answers.values() as Iterable<Cut<T>>)];
    return { view: merge(cuts), nodes: this.#tally(answers), isCut: cuts.some(({ isCut }) => isCut) };
  }

  #tally(answers: ReadonlyMap<string, unknown>): { answered: number; known: number } {
    const { nodeId, nodes } = this.#options;
    return {
      answered: answers.size + 1,
      known: new Set([nodeId, ...nodes.alive, ...answers.keys()]).size,
    };
  }
}

function whole<T>(view: T): Cut<T> {
  return { view, isCut: false };
}
