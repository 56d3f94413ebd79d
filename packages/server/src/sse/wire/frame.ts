/**
 * Frames: publications and control events as the bytes of an event stream. Pure functions.
 *
 * [spec] HTML, 9.2.6: CR, LF and CRLF each end a line. A block without data dispatches nothing, but does set the last
 * event id. An unfinished block at the end of a stream is thrown away. A publication's JSON is one line, because
 * JSON.stringify escapes control characters.
 */
import type { EventMode } from '@message-push/protocol';

/** How one event of a publication looks. There is one object for each style, because encoded bytes are shared by identity. */
export class FrameStyle {
  readonly isNamed: boolean;
  /** The event name of messages of type `error`. EventSource uses `error` for its own failures. */
  readonly errorEvent: string;
  /** Key of the same style with the end of an id line before it. */
  readonly afterPosition: object = { style: this };

  constructor(isNamed: boolean, errorEvent: string) {
    this.isNamed = isNamed;
    this.errorEvent = errorEvent;
  }
}

/**
 * The events that a publication becomes. In mode `both` the unnamed event follows the named one and carries the id, so
 * that a cut between the two repeats an event rather than losing one.
 */
export interface FrameStyles {
  readonly first: FrameStyle | undefined;
  readonly last: FrameStyle;
}

function makeStyles(mode: EventMode, errorEvent: string): FrameStyles {
  const named = new FrameStyle(true, errorEvent);
  const unnamed = new FrameStyle(false, errorEvent);
  switch (mode) {
    case 'named':
      return { first: undefined, last: named };
    case 'message':
      return { first: undefined, last: unnamed };
    case 'both':
      return { first: named, last: unnamed };
  }
}

const DEFAULT_ERROR_EVENT = 'error';
const DEFAULT_STYLES: Readonly<Record<EventMode, FrameStyles>> = {
  named: makeStyles('named', DEFAULT_ERROR_EVENT),
  message: makeStyles('message', DEFAULT_ERROR_EVENT),
  both: makeStyles('both', DEFAULT_ERROR_EVENT),
};

/** Streams with the default error event share one object per mode. Other names come from clients, and are not kept. */
export function frameStyles(mode: EventMode, errorEvent: string): FrameStyles {
  return errorEvent === DEFAULT_ERROR_EVENT ? DEFAULT_STYLES[mode] : makeStyles(mode, errorEvent);
}

const encoder = new TextEncoder();

/** An event without its `id:` line, which differs per stream. `before` is the end of that line when streams share it. */
export function encodeFrame(type: string, json: Uint8Array, style: FrameStyle, before = ''): Uint8Array {
  const name = type === 'error' ? style.errorEvent : type;
  const head = style.isNamed ? `${before}event: ${name}\ndata: ` : `${before}data: `;
  const bytes = Buffer.allocUnsafe(Buffer.byteLength(head) + json.length + 2);
  let end = bytes.write(head);
  bytes.set(json, end);
  end += json.length;
  bytes[end] = 0x0a;
  bytes[end + 1] = 0x0a;
  return bytes;
}

function block(lines: readonly string[]): string {
  return `${lines.join('\n')}\n\n`;
}

/** The first frame tells the client when to come back, from where, and who it is. */
export function connectionFrame(options: {
  retryMs: number;
  cursor: string;
  messageId: string;
  connectionId: string;
  channels: readonly string[];
  timeMs: number;
}): string {
  const event = {
    id: options.messageId,
    timestamp: new Date(options.timeMs).toISOString(),
    type: 'connection',
    data: {
      connection_id: options.connectionId,
      message: 'SSE connection established',
      channels: options.channels,
    },
  };
  // The block with an id alone serves clients that are cut before their first event. The event repeats the id for
  // parsers that hand an id on only together with data.
  return (
    block([`retry: ${options.retryMs}`, `id: ${options.cursor}`]) +
    block([`id: ${options.cursor}`, `data: ${JSON.stringify(event)}`])
  );
}

export function heartbeatFrame(timeMs: number): Uint8Array {
  const timestamp = new Date(timeMs).toISOString();
  return encoder.encode(block(['event: heartbeat', `data: ${JSON.stringify({ timestamp })}`]));
}

/** A control event with a body. With `cursor`, it moves the client's cursor there. */
export function controlFrame(
  name: 'gap' | 'expiring' | 'reconnect' | 'end',
  options: { messageId: string; timeMs: number; data: object; cursor?: string; retryMs?: number },
): string {
  const event = {
    id: options.messageId,
    timestamp: new Date(options.timeMs).toISOString(),
    type: name,
    data: options.data,
  };
  return block([
    ...(options.retryMs === undefined ? [] : [`retry: ${options.retryMs}`]),
    ...(options.cursor === undefined ? [] : [`id: ${options.cursor}`]),
    `event: ${name}`,
    `data: ${JSON.stringify(event)}`,
  ]);
}
