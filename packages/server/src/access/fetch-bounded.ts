/**
 * A request to a server that the operator configured, whose response is not trusted: redirects are not followed,
 * because they could lead to a server that nobody configured, and the size of the response is bounded.
 */

export interface BoundedAnswer {
  readonly status: number;
  readonly text: string;
}

/** Rejects when no complete answer within `maxBytes` arrives; `init.signal` bounds the time. */
export async function fetchBounded(
  url: string,
  init: RequestInit & { readonly signal: AbortSignal },
  maxBytes: number,
): Promise<BoundedAnswer> {
  const response = await fetch(url, { ...init, redirect: 'manual' });
  const parts: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop early closes the connection.
  for await (const part of response.body ?? []) {
    size += part.length;
    if (size > maxBytes) throw new Error(`the answer has more than ${maxBytes} bytes`);
    parts.push(part);
  }
  return { status: response.status, text: Buffer.concat(parts).toString('utf8') };
}
