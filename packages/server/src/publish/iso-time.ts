/** ISO 8601 in UTC. Publishes come many to a millisecond, and writing a time costs as much as checking a message. */
let lastMs = Number.NaN;
let lastText = '';

export function isoTime(timeMs: number): string {
  if (timeMs !== lastMs) {
    lastText = new Date(timeMs).toISOString();
    lastMs = timeMs;
  }
  return lastText;
}
