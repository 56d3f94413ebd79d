/** Creates the views of the open streams: of this process, or of all nodes on the same Redis. */
import path from 'node:path';
import type { Config } from '../config/config.ts';
import type { Audience, Directory, LocalDirectory, OnMembership, UserQuota } from '../core/directory.ts';
import type { SharedCounters, SharedNotes } from '../core/shared-state.ts';
import { FileNotes } from '../engine/embedded/file-notes.ts';
import { SoleNode } from '../sse/sole-node.ts';

export interface Views {
  readonly directory: Directory;
  readonly audience: Audience;
  /** Absent when no other node has to know. */
  readonly onMembership?: OnMembership | undefined;
  readonly userQuota?: UserQuota | undefined;
  readonly notes: SharedNotes;
  /** Absent when one process is the whole service. */
  readonly counters?: SharedCounters;
  /** Call it when the engine is open. */
  open(): Promise<void>;
  /** Call it before the engine is closed. */
  close(): Promise<void>;
}

const NOTES_FILE = 'revocations.jsonl';

export interface ViewsParts {
  readonly config: Config;
  readonly engine: Engine;
  /** A function, because the streams are created after the views and with them. */
  readonly local: () => LocalDirectory;
}

export function createViews({ config, fleet, local }: ViewsParts): Views {
  if (fleet !== undefined) return fleet;
  const node = new SoleNode(local);
  const notes = new FileNotes(path.join(config.engine.dataDir, NOTES_FILE));
  return { directory: node, audience: node, notes, open: async () => {}, close: async () => {} };
}
