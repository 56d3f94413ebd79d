/**
 * ISO 8601 in UTC. The last text is kept: many publishes arrive within a millisecond, and formatting a time costs as
 * much as validating a message.
 */
let lastMs = Number.NaN;
let lastText = '';

export function isoTime(timeMs: number): string {
  if (timeMs !== lastMs) {
    lastText = new Date(timeMs).toISOString();
    lastMs = timeMs;
  }
  return lastText;
}
