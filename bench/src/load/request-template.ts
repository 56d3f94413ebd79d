/**
 * A publish request as ready-made bytes. Only digits change per message: the stamp and the number of the target stream.
 * So a message costs the publisher a few digit writes and one socket write.
 */
import {
  blankStamp,
  findStamp,
  STAMP_BYTES,
  TARGET_DIGITS,
  TARGET_PLACEHOLDER,
  writeDigits,
  writeStamp,
} from './stamp.ts';

/** One POST in the form that a peer expects. Path and body may contain `TARGET_PLACEHOLDER`. */
export interface PublishRequest {
  readonly path: string;
  /** JSON with one `blankStamp` per message. */
  readonly body: string;
  /** The response reports failures of single messages (`failed_count`). */
  readonly isBatch: boolean;
}

interface Slot {
  readonly stampAt: number;
  /** Every position that names the target of this message. */
  readonly targetsAt: readonly number[];
}

export class RequestTemplate {
  readonly bytes: Buffer;
  /** One per message of the request. */
  readonly #slots: readonly Slot[];

  constructor(request: PublishRequest, host: string) {
    const body = Buffer.from(request.body);
    const head = [
      `POST ${request.path} HTTP/1.1`,
      `Host: ${host}`,
      'Content-Type: application/json',
      `Content-Length: ${body.length}`,
    ];
    this.bytes = Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body]);
    this.#slots = findSlots(this.bytes);
    if (this.#slots.length === 0) throw new Error(`a publish body must hold ${blankStamp()}`);
  }

  get messages(): number {
    return this.#slots.length;
  }

  stamp(message: number, lane: number, sequence: number, timeUs: number): void {
    const slot = this.#slots[message];
    if (slot !== undefined) writeStamp(this.bytes, slot.stampAt, lane, sequence, timeUs);
  }

  aim(message: number, target: number): void {
    for (const at of this.#slots[message]?.targetsAt ?? [])
      writeDigits(this.bytes, at, TARGET_DIGITS, target);
  }
}

/** A target belongs to the next stamp after it, whether it is in the path or before `data` in the body. */
function findSlots(bytes: Buffer): Slot[] {
  const slots: Slot[] = [];
  let from = 0;
  for (;;) {
    const stampAt = findStamp(bytes, from, bytes.length);
    if (stampAt < 0) return slots;
    const targetsAt: number[] = [];
    for (;;) {
      const at = bytes.indexOf(TARGET_PLACEHOLDER, from);
      if (at < 0 || at > stampAt) break;
      targetsAt.push(at);
      from = at + TARGET_DIGITS;
    }
    slots.push({ stampAt, targetsAt });
    from = stampAt + STAMP_BYTES;
  }
}
