/** A channel that streams of this process have joined: who they are and how far its log was announced. */
import type { Subscriber } from './subscriber.ts';

export class HubChannel {
  readonly name: string;
  /** The position of the last announcement. Every live subscriber has been handed everything up to it. */
  epoch = '';
  offset = 0;
  /** That position as cursors hold it. */
  positionText = '';
  /** False until the engine has said where the log stands. */
  isOpen = false;
  opening: Promise<void> | undefined;
  /** Unordered. A subscriber knows its place here, so that leaving is quick on a channel of 100,000. */
  readonly subscribers: Subscriber[] = [];

  constructor(name: string) {
    this.name = name;
  }

  moveTo(epoch: string, offset: number): void {
    this.epoch = epoch;
    this.offset = offset;
    this.positionText = `${offset.toString(36)}.${epoch}`;
  }

  add(subscriber: Subscriber, index: number): void {
    subscriber.slots[index] = this.subscribers.length;
    this.subscribers.push(subscriber);
  }

  remove(subscriber: Subscriber, index: number): void {
    const slot = subscriber.slots[index] as number;
    const last = this.subscribers.pop() as Subscriber;
    if (last === subscriber) return;
    this.subscribers[slot] = last;
    last.slots[last.channels.indexOf(this)] = slot;
  }
}
