/**
 * A worker's end of the line to its primary process. When the line is cut, node:cluster ends the worker: with its
 * primary it has lost its log, and a service that is started anew finds the port free.
 */
import type { FromWorker, ToWorker } from './worker-messages.ts';

export interface PrimaryLinkOptions {
  readonly onStop: () => void;
  readonly metricsText: () => Promise<string>;
  readonly onScrapeFailed: (error: unknown) => void;
}

/** Listens from now on and says that this worker serves. */
export function linkToPrimary({ onStop, metricsText, onScrapeFailed }: PrimaryLinkOptions): void {
  process.on('message', (message: ToWorker) => {
    if (message.type === 'stop') onStop();
    else {
      metricsText()
        .then((text) => say({ type: 'scraped', id: message.id, text }))
        .catch(onScrapeFailed);
    }
  });
  say({ type: 'ready' });
}

function say(message: FromWorker): void {
  process.send?.(message);
}
