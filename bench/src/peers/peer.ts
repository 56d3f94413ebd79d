/** The port to a measured server: how to start it, where its streams are, how to publish. */
import type { ChildProcess } from 'node:child_process';
import type { PublishRequest } from '../load/request-template.ts';

export const PEER_NAMES = ['ours', 'nchan', 'plain', 'before'] as const;
/** The peers of a run that names none. */
export const USUAL_PEERS = ['ours', 'nchan', 'plain'] as const satisfies readonly PeerName[];
export type PeerName = (typeof PEER_NAMES)[number];

/** Publishes go to all streams, to one numbered stream, or to many numbered streams in one request. */
export type PublishKind = 'broadcast' | 'unicast' | 'batch';

export interface StartOptions {
  readonly port: number;
  /** An empty directory for the peer's files, removed afterwards. */
  readonly directory: string;
  readonly cores: string | undefined;
  readonly maxStreams: number;
  /** Flags for Node, if the peer is a Node program of this repository. */
  readonly nodeOptions: readonly string[];
  readonly fileLimit: number;
}

/** One of the sides that a scenario compares. Goals are set for `ours`. */
export interface Contender {
  readonly name: string;
  readonly label: string;
  /** Returns why it cannot be measured here; `undefined` when it can. */
  readonly missing: () => string | undefined;
  readonly version: () => string;
}

export interface Peer extends Contender {
  readonly name: PeerName;
  readonly start: (options: StartOptions) => Promise<ChildProcess>;
  /** Returns the path of a stream that gets broadcasts, or of the stream numbered `TARGET_PLACEHOLDER`. */
  readonly streamPath: (kind: 'broadcast' | 'unicast') => string;
  /** Returns a request whose messages carry `pad` extra bytes; `undefined` when the peer has no such request. */
  readonly request: (kind: PublishKind, pad: number, batchSize: number) => PublishRequest | undefined;
}
