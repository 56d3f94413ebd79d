/**
 * A worker's end of the link to its primary process. When the link breaks, node:cluster ends the worker: without its
 * primary it has no log, and a new service must find the port free.
 */
import type { FromWorker, ToWorker } from './worker-messages.ts';

export interface PrimaryLinkOptions {
  readonly onStop: () => void;
  readonly metricsText: () => Promise<string>;
  readonly onScrapeFailed: (error: unknown) => void;
}

/** Reports that this worker is ready, and handles the messages of the primary process from then on. */
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
