/**
 * An engine in memory whose bus may lose, double and split what it announces, as one between nodes does. Its answers
 * come when the test says so.
 */
import { randomUUID } from 'node:crypto';
import { unbornPosition } from '@message-push/protocol';
import type { Engine, EngineListener, LogState } from '../core/engine.ts';
import type { Draft, Place, Publication, Receipt } from '../core/message.ts';

interface Entry {
  readonly draft: Draft;
  readonly place: Place;
  readonly order: number;
}

interface Log {
  epoch: string;
  offset: number;
  floor: number;
  entries: Entry[];
}

export type BusFault = 'none' | 'lost' | 'doubled' | 'split';

export class LossyEngine
  implements Pick<Engine, 'watch' | 'unwatch' | 'states' | 'locate' | 'read' | 'newConnectionId'>
{
  readonly #logs = new Map<string, Log>();
  readonly #now: () => number;
  #epochs = 0;
  #order = 0;
  #listener: EngineListener | undefined;
  #answers: (() => void)[] = [];
  isManual = false;
  /** Called when a page has been made, before the reader has it. */
  afterRead: (() => void) | undefined;
  failure: Error | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  listen(listener: EngineListener): void {
    this.#listener = listener;
  }

  newConnectionId(): string {
    return randomUUID();
  }

  publish(draft: Draft, fault: BusFault = 'none'): Receipt {
    const { message } = draft;
    const places: Place[] = [];
    const order = ++this.#order;
    for (const channel of message.channels) {
      if (channel.startsWith('connection:')) {
        places.push({ channel, epoch: '', offset: 0 });
        continue;
      }
      const log = this.#logs.get(channel) ?? {
        epoch: `e${++this.#epochs}`,
        offset: 0,
        floor: 0,
        entries: [],
      };
      this.#logs.set(channel, log);
      const place = { channel, epoch: log.epoch, offset: ++log.offset };
      log.entries.push({ draft, place, order });
      places.push(place);
    }
    if (fault === 'split') for (const place of places) this.#announce({ message, places: [place], order });
    else if (fault !== 'lost') this.#announce({ message, places, order });
    if (fault === 'doubled') this.#announce({ message, places, order });
    return { messageId: message.id, places, timeMs: message.timeMs, isRepeat: false, ack: 'stored' };
  }

  #announce(publication: Publication): void {
    this.#listener?.onPublications([publication]);
  }

  trim(channel: string, keep: number): void {
    const log = this.#logs.get(channel);
    if (log === undefined) return;
    log.floor = Math.max(log.floor, log.offset - keep);
    log.entries = log.entries.filter((e) => e.place.offset > log.floor);
  }

  /** Begins a new life of a log, as after the loss of its past. */
  forget(channel: string): void {
    this.#logs.delete(channel);
  }

  suspectAll(): void {
    this.#listener?.onSuspect([...this.#logs.keys()]);
  }

  /** Gives the waiting answers, in order. */
  answer(): void {
    const answers = this.#answers;
    this.#answers = [];
    for (const give of answers) give();
  }

  #later<T>(value: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const give = (): void => {
        if (this.failure === undefined) resolve(value());
        else reject(this.failure);
      };
      if (this.isManual) this.#answers.push(give);
      else setImmediate(give);
    });
  }

  #stateOf(channel: string): LogState {
    const log = this.#logs.get(channel);
    if (log === undefined) return { ...unbornPosition(this.#now()), floor: 0 };
    return { epoch: log.epoch, offset: log.offset, floor: log.floor };
  }

  watch: Engine['watch'] = (channels) => this.#later(() => channels.map((c) => this.#stateOf(c)));
  unwatch(): void {}
  states: Engine['states'] = (channels) => this.#later(() => channels.map((c) => this.#stateOf(c)));

  locate: Engine['locate'] = (channel, start) =>
    this.#later(() => {
      const { epoch, offset, floor } = this.#stateOf(channel);
      return { epoch, offset: start.kind === 'all' ? floor : offset };
    });

  read: Engine['read'] = (from, maxBytes) => {
    return this.#later(() => {
      if (this.afterRead !== undefined) queueMicrotask(this.afterRead);
      const states = from.map(({ channel }) => this.#stateOf(channel));
      const rows = from
        .flatMap(({ channel, offset }) =>
          (this.#logs.get(channel)?.entries ?? []).filter((e) => e.place.offset > offset),
        )
        .toSorted((a, b) => a.order - b.order);
      const reached = from.map(({ offset }, i) => Math.max(offset, states[i]?.offset ?? 0));
      let bytes = 0;
      let count = 0;
      while (count < rows.length && (count === 0 || bytes < maxBytes)) {
        bytes += rows[count++]?.draft.message.json.length ?? 0;
      }
      for (const { place } of rows.slice(count).toReversed()) {
        reached[from.findIndex((f) => f.channel === place.channel)] = place.offset - 1;
      }
      const publications = rows.slice(0, count).map(({ draft, place, order }) => ({
        message: draft.message,
        places: [place],
        order,
      }));
      return {
        publications,
        channels: states.map((state, i) => ({ state, reachedOffset: reached[i] as number })),
        isComplete: count === rows.length,
      };
    });
  };
}
