/**
 * A request to a server of the operator's choice, whose answer may be anything: no redirect is followed, for it could
 * lead to where nobody configured, and no more of the answer is held than may be.
 */

export interface BoundedAnswer {
  readonly status: number;
  readonly text: string;
}

/** Rejects for whatever prevents a whole answer within the bound; `init.signal` bounds its time. */
export async function fetchBounded(
  url: string,
  init: RequestInit & { readonly signal: AbortSignal },
  maxBytes: number,
): Promise<BoundedAnswer> {
  const response = await fetch(url, { ...init, redirect: 'manual' });
  const parts: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop early ends the connection.
  for await (const part of response.body ?? []) {
    size += part.length;
    if (size > maxBytes) throw new Error(`the answer has more than ${maxBytes} bytes`);
    parts.push(part);
  }
  return { status: response.status, text: Buffer.concat(parts).toString('utf8') };
}
