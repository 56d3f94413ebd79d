/** What may be believed of a request's headers, by whether the peer that sent them is a proxy of ours. */
import type { Socket } from 'node:net';
import { compile as compileTrust, default as proxyAddress } from '@fastify/proxy-addr';

export interface ProxyTrust {
  /** Whose address counts: the peer's, or where the peer is a trusted proxy, the nearest one that is not. */
  readonly clientIp: (socket: Socket, forwardedFor: string | undefined) => string;
  /** Whether the peer is a trusted proxy that takes a 503 to another node; `claim`: its `X-Retry-Upstream`. */
  readonly retriesElsewhere: (socket: Socket, claim: string | undefined) => boolean;
}

/** `proxies`: all peers, none, or those of these addresses and networks. */
export function createProxyTrust(proxies: boolean | readonly string[]): ProxyTrust {
  if (proxies === false) {
    return { clientIp: (socket) => plain(socket.remoteAddress), retriesElsewhere: () => false };
  }
  const isTrusted: (address: string, hop: number) => boolean =
    proxies === true ? () => true : compileTrust([...proxies]);
  return {
    clientIp: (socket, forwardedFor) => {
      if (forwardedFor === undefined) return plain(socket.remoteAddress);
      const request = { socket, headers: { 'x-forwarded-for': forwardedFor } };
      return plain(proxyAddress(request as never, isTrusted));
    },
    retriesElsewhere: ({ remoteAddress }, claim) =>
      claim === '1' && remoteAddress !== undefined && isTrusted(remoteAddress, 0),
  };
}

function plain(address: string | undefined): string {
  return (address ?? '').replace(/^::ffff:/, '');
}
