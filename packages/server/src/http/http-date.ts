/** The `Date` header of answers that are written by hand. Formatting it is expensive, so it is kept for a second. */

let second = -1;
let text = '';

export function httpDate(nowMs: number): string {
  const current = Math.floor(nowMs / 1000);
  if (current !== second) {
    second = current;
    text = new Date(nowMs).toUTCString();
  }
  return text;
}
