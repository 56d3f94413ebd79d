/** Which headers of a request can be believed, depending on whether a trusted proxy sent them. */
import type { Socket } from 'node:net';
import { compile as compileTrust, default as proxyAddress } from '@fastify/proxy-addr';

export interface ProxyTrust {
  /** The client's address: the peer's, or behind trusted proxies, the nearest address that is not one of theirs. */
  readonly clientIp: (socket: Socket, forwardedFor: string | undefined) => string;
  /** True if the peer is a trusted proxy that retries a 503 on another node; `claim` is its `X-Retry-Upstream`. */
  readonly retriesElsewhere: (socket: Socket, claim: string | undefined) => boolean;
}

/** `proxies` trusts all peers, none, or those with the listed addresses and networks. */
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
