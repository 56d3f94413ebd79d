/** Ids of connections begin with their node's, so that a message for a connection is sent to its node alone. */
import { randomUUID } from 'node:crypto';
import { isTransientChannel } from '@message-push/protocol';

const NODE_ID_CHARS = 8;

export function newConnectionId(nodeId: string): string {
  return `${nodeId}${randomUUID().slice(NODE_ID_CHARS)}`;
}

/** `undefined` for an id that no node has given out. */
export function nodeOfConnection(connectionId: string): string | undefined {
  const id = connectionId.slice(0, NODE_ID_CHARS);
  return /^[0-9a-f]{8}$/.test(id) ? id : undefined;
}

/** `undefined` for every channel but a connection's. */
export function nodeOfConnectionChannel(channel: string): string | undefined {
  return isTransientChannel(channel) ? nodeOfConnection(channel.slice(channel.indexOf(':') + 1)) : undefined;
}
