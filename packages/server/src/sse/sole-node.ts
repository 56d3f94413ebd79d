/** The views of the open streams when one process has all of them. */
import type {
  Audience,
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
} from '../core/directory.ts';
import type { Message, Receipt } from '../core/message.ts';
import type { StreamCredential } from '../core/stream-credential.ts';

export class SoleNode implements Directory, Audience {
  readonly liveNodes = 1;
  readonly #find: () => LocalDirectory;

  /** `local` is called late, because the streams are made with this object. */
  constructor(local: () => LocalDirectory) {
    this.#find = local;
  }

  get #local(): LocalDirectory {
    return this.#find();
  }

  countStreams(_receipt: Receipt, { channels, exclude }: Message): number {
    return this.#local.countStreams(channels, exclude);
  }

  async connections(query: ConnectionQuery): Promise<Gathered<ConnectionPage>> {
    return whole(this.#local.connections(query));
  }

  async presence(channel: string): Promise<Gathered<readonly PresenceEntry[]>> {
    return whole(this.#local.presence(channel));
  }

  async joinedChannels(query: JoinedQuery): Promise<Gathered<ReadonlyMap<string, number>>> {
    return whole(this.#local.joinedChannels(query));
  }

  async totals(): Promise<Gathered<StreamTotals>> {
    return whole(this.#local.totals());
  }

  async kick(connectionId: string): Promise<boolean> {
    return this.#local.kick(connectionId);
  }

  async find(connectionId: string): Promise<ConnectionView | undefined> {
    return this.#local.find(connectionId);
  }

  async renew(connectionId: string, credential: StreamCredential): Promise<Renewal> {
    return this.#local.renew(connectionId, credential);
  }
}

function whole<T>(view: T): Gathered<T> {
  return { view, nodes: { answered: 1, known: 1 }, isCut: false };
}
