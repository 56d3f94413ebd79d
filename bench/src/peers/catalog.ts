import { nchan } from './nchan.ts';
import { before, ours } from './ours.ts';
import type { Peer, PeerName } from './peer.ts';
import { plain } from './plain.ts';

export const PEERS: Readonly<Record<PeerName, Peer>> = { ours, nchan, plain, before };
