/**
 * Makes every peer deliver messages of the same size: sends one of each kind, measures the `data:` that a stream gets,
 * and computes the missing padding.
 */
import { RequestTemplate } from './load/request-template.ts';
import { STAMP_KEY, TARGET_DIGITS, TARGET_PLACEHOLDER } from './load/stamp.ts';
import type { Peer, PublishKind } from './peers/peer.ts';

const TIMEOUT_MS = 10_000;

export interface Delivered {
  /** Bytes of the `data:` field. */
  readonly dataBytes: number;
  /** Bytes of the whole event. */
  readonly eventBytes: number;
}

/** Measures the size of a message of this kind without padding. */
export async function measureUnpadded(
  peer: Peer,
  port: number,
  kind: PublishKind,
): Promise<Delivered | undefined> {
  const request = peer.request(kind, 0, 1);
  if (request === undefined) return undefined;
  const abort = AbortSignal.timeout(TIMEOUT_MS);
  const base = `http://127.0.0.1:${port}`;
  const target = '0'.repeat(TARGET_DIGITS);
  const path = peer.streamPath(kind === 'broadcast' ? 'broadcast' : 'unicast');
  const stream = await fetch(base + path.replace(TARGET_PLACEHOLDER, target), {
    headers: { accept: 'text/event-stream' },
    signal: abort,
  });
  if (stream.status !== 200 || stream.body === null) throw new Error(`${path}: ${stream.status}`);

  const template = new RequestTemplate(request, 'localhost');
  template.aim(0, 0);
  const body = template.bytes.subarray(template.bytes.indexOf('\r\n\r\n') + 4);
  const answer = await fetch(base + request.path.replace(TARGET_PLACEHOLDER, target), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: new Uint8Array(body),
    signal: abort,
  });
  const answerText = await answer.text();
  if (!answer.ok) throw new Error(`${request.path}: ${answer.status} ${answerText}`);
  return readDelivered(stream.body);
}

async function readDelivered(body: ReadableStream<Uint8Array>): Promise<Delivered> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const part of body) {
    text += decoder.decode(part, { stream: true });
    const event = text
      .split('\n\n')
      .slice(0, -1)
      .find((one) => one.includes(STAMP_KEY));
    const data = event?.split('\n').find((line) => line.startsWith('data:'));
    if (event !== undefined && data !== undefined) {
      return { dataBytes: data.replace(/^data: ?/, '').length, eventBytes: event.length + 2 };
    }
  }
  throw new Error('the stream ended before its message');
}
