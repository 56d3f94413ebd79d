import type { Start } from '../core/engine.ts';
import type { StreamCredential } from '../core/stream-credential.ts';
import type { FrameStyles } from './wire/frame.ts';

/** What a request for a stream asks for, checked and in the service's own words. */
export interface StreamPlan {
  readonly userId: string | undefined;
  readonly sessionId: string | undefined;
  /** Channels with history, in the order of the cursor. The broadcast channel is always there and comes last. */
  readonly channels: readonly string[];
  /** The cursor that the client came back with. */
  readonly cursor: string | undefined;
  /** Where the stream starts when there is no cursor. */
  readonly start: Start;
  readonly styles: FrameStyles;
  readonly clientIp: string;
  /** `undefined` when none was asked for: the stream then ends with no credential. */
  readonly credential: StreamCredential | undefined;
}
