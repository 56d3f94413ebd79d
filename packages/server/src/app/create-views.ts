/** The views of the open streams that the engine's kind allows: of this process, or of all nodes on its Redis. */
import path from 'node:path';
import type { Config } from '../config/config.ts';
import type { Audience, Directory, LocalDirectory, OnMembership, UserQuota } from '../core/directory.ts';
import type { SharedCounters, SharedNotes } from '../core/shared-state.ts';
import { FileNotes } from '../engine/embedded/file-notes.ts';
import { SoleNode } from '../sse/sole-node.ts';

export interface Views {
  readonly directory: Directory;
  readonly audience: Audience;
  /** For the streams; absent where they need nobody else. */
  readonly onMembership?: OnMembership | undefined;
  readonly userQuota?: UserQuota | undefined;
  readonly notes: SharedNotes;
  /** Absent where one process is everything. */
  readonly counters?: SharedCounters;
  /** When the engine is open. */
  open(): Promise<void>;
  /** Before the engine is closed. */
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
