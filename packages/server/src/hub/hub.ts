/**
 * The hub: the local index from channels to sessions, and the keeper of order. It hands a publication on only when its
 * offset follows the one before; anything else sends the sessions concerned to history. It knows nothing of frames,
 * sockets or publishers.
 */
import { isUnborn, unbornPosition } from '@message-push/protocol';
import type { Engine, EngineListener, LogState } from '../core/engine.ts';
import type { Message, Place, Publication } from '../core/message.ts';
import type { DeliveryTrace, Tracer } from '../observe/tracing/tracer.ts';
import { Delivery } from './delivery.ts';
import { HubChannel, type Member } from './hub-channel.ts';
import type { Subscriber } from './subscriber.ts';

export interface HubOptions {
  readonly engine: Pick<Engine, 'watch' | 'unwatch' | 'states'>;
  readonly findConnection: (connectionId: string) => Subscriber | undefined;
  /** How long a channel is watched after its last session has left, because pages that reload come back to it. */
  readonly lingerMs: number;
  /** `undefined` when tracing is off. */
  readonly tracer?: Pick<Tracer, 'startDelivery'> | undefined;
  /** Called after the publications of each turn, when all sessions have been handed theirs. */
  readonly onTurnEnd: (publications: readonly Publication[]) => void;
}

export class Hub implements EngineListener {
  readonly #options: HubOptions;
  readonly #channels = new Map<string, HubChannel>();
  /** Channels without subscribers, in the order in which they were left, and the time when they are unwatched. */
  readonly #lingering = new Map<HubChannel, number>();
  #unbornEpoch = '';

  constructor(options: HubOptions) {
    this.#options = options;
  }

  get channelCount(): number {
    return this.#channels.size - this.#lingering.size;
  }

  channel(name: string): HubChannel | undefined {
    return this.#channels.get(name);
  }

  /** Channels that have subscribers. */
  *joinedChannels(): Generator<HubChannel> {
    for (const channel of this.#channels.values()) {
      if (channel.subscribers.length > 0) yield channel;
    }
  }

  /** The channels to join. Those that are new here are created and watched. */
  open(names: readonly string[], nowMs: number): HubChannel[] {
    const fresh: HubChannel[] = [];
    const channels = names.map((name) => {
      let channel = this.#channels.get(name);
      if (channel === undefined) {
        channel = new HubChannel(name);
        this.#channels.set(name, channel);
        fresh.push(channel);
      } else if (channel.isOpen && channel.offset === 0) {
        // A position in an unborn epoch names the day, and this channel may have been watched for many days.
        channel.moveTo(unbornPosition(nowMs).epoch, 0);
      }
      this.#lingering.delete(channel);
      return channel;
    });
    if (fresh.length > 0) this.#watch(fresh);
    return channels;
  }

  /** Joins the subscriber's channels, which need not be open yet. It is told of publications from now on. */
  attach(subscriber: Member): void {
    for (let i = 0; i < subscriber.channels.length; i++) subscriber.channels[i]?.add(subscriber, i);
  }

  detach(subscriber: Member, nowMs: number): void {
    for (let i = 0; i < subscriber.channels.length; i++) {
      const channel = subscriber.channels[i] as HubChannel;
      channel.remove(subscriber, i);
      if (channel.subscribers.length === 0) this.#lingering.set(channel, nowMs + this.#options.lingerMs);
    }
  }

  /** Resolves when the positions of all these channels are known. Rejects when the engine cannot tell them. */
  async opened(channels: readonly HubChannel[]): Promise<void> {
    for (const channel of channels) if (!channel.isOpen) await channel.opening;
  }

  /** Unwatches channels that nobody has come back to, and moves unborn epochs on to today. */
  sweep(nowMs: number): void {
    const { epoch } = unbornPosition(nowMs);
    if (epoch !== this.#unbornEpoch) this.#renewUnborn(epoch);
    const left: string[] = [];
    for (const [channel, untilMs] of this.#lingering) {
      if (untilMs > nowMs) break;
      this.#lingering.delete(channel);
      // A channel whose watch failed may have been replaced by another one of its name.
      if (this.#channels.get(channel.name) !== channel) continue;
      this.#channels.delete(channel.name);
      left.push(channel.name);
    }
    if (left.length > 0) this.#options.engine.unwatch(left);
  }

  onPublications(publications: readonly Publication[]): void {
    const { tracer } = this.#options;
    for (const publication of publications) {
      const trace = tracer?.startDelivery(publication.message);
      this.#receive(publication, trace);
      trace?.handedOut();
    }
    this.#options.onTurnEnd(publications);
  }

  onSuspect(names: readonly string[]): void {
    // The engine calls again once it can be reached.
    this.compare(names).catch(() => undefined);
  }

  /**
   * Compares channels with their logs, and sends sessions to history for what was not announced. Rejects when the
   * engine cannot tell the positions.
   */
  async compare(names: readonly string[]): Promise<void> {
    const open = names.filter((name) => this.#channels.get(name)?.isOpen);
    if (open.length === 0) return;
    const epochs = open.map((name) => this.#channels.get(name)?.epoch);
    const states = await this.#options.engine.states(open);
    for (let i = 0; i < open.length; i++) {
      const channel = this.#channels.get(open[i] as string);
      // If another epoch was announced meanwhile, it may be newer than what was asked for.
      if (channel?.isOpen && channel.epoch === epochs[i]) this.#compare(channel, states[i] as LogState);
    }
  }

  /** A stream may stay open for weeks. Its cursor must not look as if the stream had been away for as long. */
  #renewUnborn(epoch: string): void {
    this.#unbornEpoch = epoch;
    for (const channel of this.#channels.values()) {
      if (!channel.isOpen || channel.offset !== 0 || channel.epoch === epoch) continue;
      channel.moveTo(epoch, 0);
      for (const subscriber of channel.subscribers) subscriber.pass(channel);
    }
  }

  #compare(channel: HubChannel, state: LogState): void {
    if (channel.epoch === state.epoch && channel.offset >= state.offset) return;
    for (const subscriber of channel.subscribers) subscriber.fallBehind('hole');
    channel.moveTo(state.epoch, state.offset);
  }

  #watch(fresh: readonly HubChannel[]): void {
    const opening = this.#options.engine.watch(fresh.map((c) => c.name)).then(
      (states) => {
        for (let i = 0; i < fresh.length; i++) {
          const channel = fresh[i] as HubChannel;
          const state = states[i] as LogState;
          // An announcement may have come first. It is newer then.
          if (channel.offset > 0 && isUnborn(state)) continue;
          if (channel.epoch !== state.epoch || channel.offset < state.offset) {
            channel.moveTo(state.epoch, state.offset);
          }
        }
        for (const channel of fresh) {
          channel.isOpen = true;
          channel.opening = undefined;
        }
      },
      (error: unknown) => {
        // The next stream tries again with a new channel object.
        for (const channel of fresh) {
          if (this.#channels.get(channel.name) === channel) this.#channels.delete(channel.name);
          this.#lingering.delete(channel);
        }
        throw error;
      },
    );
    // Streams that wait for it see the failure. When none waits, nobody needs to.
    opening.catch(() => undefined);
    for (const channel of fresh) channel.opening = opening;
  }

  #receive({ message, places }: Publication, trace: DeliveryTrace | undefined): void {
    // Sessions that cannot follow come first: their positions are those of the channels before this publication.
    let fresh = 0;
    for (const place of places) {
      const relation = this.#relationOf(place);
      if (relation === 'next') fresh++;
      else if (relation === 'unopened') this.#channels.get(place.channel)?.moveTo(place.epoch, place.offset);
      else if (relation === 'hole') {
        const channel = this.#channels.get(place.channel) as HubChannel;
        for (const subscriber of channel.subscribers) subscriber.fallBehind('hole');
        channel.moveTo(place.epoch, place.offset);
      }
    }
    if (fresh === 1 && places.length === 1 && message.channels.length === 1) {
      const channel = this.#channels.get((places[0] as Place).channel) as HubChannel;
      channel.moveTo((places[0] as Place).epoch, (places[0] as Place).offset);
      this.#fanOut(new Delivery(message, channel, trace), channel);
      return;
    }
    if (fresh > 0) this.#receiveAtSeveral(message, places, trace);
    for (const place of places) {
      if (place.offset === 0) this.#deliverDirectly(message, place.channel, trace);
    }
  }

  #relationOf({ channel: name, epoch, offset }: Place): 'unknown' | 'unopened' | 'next' | 'repeat' | 'hole' {
    const channel = this.#channels.get(name);
    if (channel === undefined || offset === 0) return 'unknown';
    if (!channel.isOpen) return 'unopened';
    if (channel.epoch === epoch) {
      if (offset === channel.offset + 1) return 'next';
      return offset <= channel.offset ? 'repeat' : 'hole';
    }
    // The first publication of a channel that had none gives it its epoch.
    return channel.offset === 0 && channel.epoch.startsWith('-') && offset === 1 ? 'next' : 'hole';
  }

  /** Moves all channels before anything is shown, so that the cursor of the frame has passed the others already. */
  #receiveAtSeveral(message: Message, places: readonly Place[], trace: DeliveryTrace | undefined): void {
    const moved: HubChannel[] = [];
    for (const place of places) {
      if (this.#relationOf(place) !== 'next') continue;
      const channel = this.#channels.get(place.channel) as HubChannel;
      channel.moveTo(place.epoch, place.offset);
      moved.push(channel);
    }
    for (const channel of moved) for (const subscriber of channel.subscribers) subscriber.pass(channel);
    for (const channel of moved) this.#fanOut(new Delivery(message, channel, trace), channel);
  }

  #fanOut(delivery: Delivery, channel: HubChannel): void {
    const { message } = delivery;
    const { subscribers } = channel;
    const before = message.channels.length > 1 ? message.channels.indexOf(channel.name) : 0;
    if (before === 0 && message.exclude === undefined) {
      for (let i = 0; i < subscribers.length; i++) (subscribers[i] as Member).deliver(delivery);
      return;
    }
    const earlier = message.channels.slice(0, before);
    for (const subscriber of subscribers) {
      if (isShown(subscriber, earlier, message)) subscriber.deliver(delivery);
      else subscriber.pass(channel);
    }
  }

  #deliverDirectly(message: Message, channelName: string, trace: DeliveryTrace | undefined): void {
    const subscriber = this.#options.findConnection(channelName.slice(channelName.indexOf(':') + 1));
    if (subscriber === undefined || !isShown(subscriber, message.channels, message)) return;
    subscriber.deliverDirectly(message, trace);
  }
}

/** Once across channels: a message is shown on the first of its channels that the session has joined. */
function isShown(subscriber: Subscriber, earlier: readonly string[], message: Message): boolean {
  if (message.exclude?.includes(subscriber.connectionId)) return false;
  for (const channel of subscriber.channels) if (earlier.includes(channel.name)) return false;
  return true;
}
