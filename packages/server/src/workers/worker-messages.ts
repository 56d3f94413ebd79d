/** What the primary process and its workers say to each other. Both ends are the same build. */

export type ToWorker =
  /** Drain and end; said again it means nothing more. */
  | { readonly type: 'stop' }
  /** Asks for the metrics. */
  | { readonly type: 'scrape'; readonly id: number };

export type FromWorker =
  /** It serves. */
  | { readonly type: 'ready' }
  /** Its metrics in Prometheus' text format. */
  | { readonly type: 'scraped'; readonly id: number; readonly text: string };
