/** A channel that streams of this process have joined: who they are and how far its log was announced. */
import type { ChannelPosition } from './channel-position.ts';
import type { Subscriber } from './subscriber.ts';

export type Member = Subscriber<HubChannel>;

export class HubChannel implements ChannelPosition {
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
  readonly subscribers: Member[] = [];

  constructor(name: string) {
    this.name = name;
  }

  moveTo(epoch: string, offset: number): void {
    this.epoch = epoch;
    this.offset = offset;
    this.positionText = `${offset.toString(36)}.${epoch}`;
  }

  add(subscriber: Member, index: number): void {
    subscriber.memberIndexes[index] = this.subscribers.length;
    this.subscribers.push(subscriber);
  }

  remove(subscriber: Member, index: number): void {
    const memberIndex = subscriber.memberIndexes[index] as number;
    const last = this.subscribers.pop() as Member;
    if (last === subscriber) return;
    this.subscribers[memberIndex] = last;
    last.memberIndexes[last.channels.indexOf(this)] = memberIndex;
  }
}
