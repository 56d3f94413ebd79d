/** The `Date` of answers that are written by hand. It is the same for a whole second, and dear to format. */

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
