/** Creates the views of the open streams: of this process, or of all nodes that share its store. */
import path from 'node:path';
import type { Config } from '../config/config.ts';
import type { Audience, Directory, LocalDirectory, OnMembership, UserQuota } from '../core/directory.ts';
import type { SharedCounters, SharedNotes } from '../core/shared-state.ts';
import { FileNotes } from '../engine/embedded/file-notes.ts';
import { SoleNode } from '../sse/sole-node.ts';

export interface Views {
  readonly directory: Directory;
  readonly audience: Audience;
  /** For the streams of this process; absent where it is everything. */
  readonly onMembership?: OnMembership | undefined;
  readonly userQuota?: UserQuota | undefined;
  readonly notes: SharedNotes;
  /** Absent where one process is everything. */
  readonly counters?: SharedCounters;
  /** Called when the engine is open. */
  open(): Promise<void>;
  /** Called before the engine is closed. */
  close(): Promise<void>;
}

const NOTES_FILE = 'revocations.jsonl';

export interface ViewsParts {
  readonly config: Config;
  /** Views of all nodes, where there may be several. */
  readonly fleet: Views | undefined;
  /** Asked for when it is needed: the streams are made with what is returned here. */
  readonly local: () => LocalDirectory;
}

export function createViews({ config, fleet, local }: ViewsParts): Views {
  if (fleet !== undefined) return fleet;
  const node = new SoleNode(local);
  const notes = new FileNotes(path.join(config.engine.dataDir, NOTES_FILE));
  return { directory: node, audience: node, notes, open: async () => {}, close: async () => {} };
}
