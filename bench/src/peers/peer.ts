/** What the benchmark needs to know about a server: how to start it, where its streams are, how to publish. */
import type { ChildProcess } from 'node:child_process';
import type { PublishRequest } from '../load/request-template.ts';

export const PEER_NAMES = ['ours', 'nchan', 'plain'] as const;
export type PeerName = (typeof PEER_NAMES)[number];

/** To all streams, to the stream of a number, or to a hundred of them in one request. */
export type PublishKind = 'broadcast' | 'unicast' | 'batch';

export interface StartOptions {
  readonly port: number;
  /** An empty directory for the peer's files, removed afterwards. */
  readonly directory: string;
  readonly cores: string | undefined;
  readonly maxStreams: number;
  /** Flags for Node, where the peer is a Node program of ours. */
  readonly nodeOptions: readonly string[];
  readonly fileLimit: number;
}

/** One of those that a scenario compares. `ours` is what goals are set for. */
export interface Contender {
  readonly name: string;
  readonly label: string;
  /** Why it cannot be measured here, or undefined when it can. */
  readonly missing: () => string | undefined;
  readonly version: () => string;
}

export interface Peer extends Contender {
  readonly name: PeerName;
  readonly start: (options: StartOptions) => Promise<ChildProcess>;
  /** The path of a stream that gets broadcasts, or of the stream numbered `TARGET_PLACEHOLDER`. */
  readonly streamPath: (kind: 'broadcast' | 'unicast') => string;
  /** A request whose messages carry `pad` more bytes; undefined where the peer has no such request. */
  readonly request: (kind: PublishKind, pad: number, batchSize: number) => PublishRequest | undefined;
}
