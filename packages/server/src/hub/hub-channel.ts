/** A channel that streams of this process have joined: its subscribers, and the position of its last announcement. */
import type { ChannelPosition } from './channel-position.ts';
import type { Subscriber } from './subscriber.ts';

/** A subscriber whose channels are those of the hub. */
export type Member = Subscriber<HubChannel>;

export class HubChannel implements ChannelPosition {
  readonly name: string;
  /** Every live subscriber has been handed everything up to this position. */
  epoch = '';
  offset = 0;
  positionText = '';
  /** False until the engine has told the position of the log. */
  isOpen = false;
  opening: Promise<void> | undefined;
  /** Unordered. A subscriber knows its index here, so that leaving is quick on a channel of 100,000. */
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
