/** The messages between the primary process and its workers. Both ends run the same build. */

export type ToWorker =
  /** Asks the worker to drain and exit. Repeating it has no effect. */
  | { readonly type: 'stop' }
  /** Asks the worker for its metrics. */
  | { readonly type: 'scrape'; readonly id: number };

export type FromWorker =
  /** The worker serves. */
  | { readonly type: 'ready' }
  /** The worker's metrics in Prometheus' text format. */
  | { readonly type: 'scraped'; readonly id: number; readonly text: string };
