/** The order of channel names, the same for every engine and listing. */

/**
 * Compares by code points, which is also the order of UTF-8 bytes that stores sort by. JavaScript's own order, by
 * UTF-16 units, is another one.
 */
export function compareNames(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Surrogates sort last, because they stand for characters above the Basic Multilingual Plane. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
