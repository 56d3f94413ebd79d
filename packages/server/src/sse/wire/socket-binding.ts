/**
 * Ties a socket's events to its session. The listeners are the same functions for all sockets: a closure for each
 * connection would cost more memory than the session.
 */
import type { StreamSocket } from './stream-socket.ts';

/** The port from a socket to its session. */
export interface SocketOwner {
  onDrain(): void;
  onSocketClosed(): void;
}

const kOwner = Symbol('owner');
type OwnedSocket = StreamSocket & { [kOwner]?: SocketOwner };

function onDrain(this: OwnedSocket): void {
  this[kOwner]?.onDrain();
}
function onClose(this: OwnedSocket): void {
  this[kOwner]?.onSocketClosed();
}
function onEnd(this: OwnedSocket): void {
  // A peer that has closed its side of an event stream reads no more.
  if (this.isShared !== true) this.destroy();
}
function onError(this: OwnedSocket): void {
  // 'close' follows, which is where the session ends.
}

export function bindSocket(socket: StreamSocket, owner: SocketOwner): void {
  (socket as OwnedSocket)[kOwner] = owner;
  socket.on('drain', onDrain).on('close', onClose).on('end', onEnd).on('error', onError);
  socket.resume();
}

/** Keeps a socket while a decision is waited for, and lets it go when its peer goes. */
export async function holdSocket<T>(socket: StreamSocket, decision: Promise<T>): Promise<T> {
  socket.on('end', onEnd).on('error', onError);
  // A socket that is not read does not notice that its peer has gone.
  socket.resume();
  try {
    return await decision;
  } finally {
    socket.off('end', onEnd).off('error', onError);
  }
}

/** Sends `text` as all that this socket will ever say. */
export function endSocket(socket: StreamSocket, text: string): void {
  socket.on('error', onError);
  socket.end(text);
  // A peer that never closes its side must not hold the socket open.
  socket.destroySoon();
  socket.resume();
}
