import { expect, it } from 'vitest';
import { EventParser, type StreamEvent } from './event-parser.ts';

it('reads events whatever pieces they come in, and dates them by their last byte', () => {
  const bytes = Buffer.from(
    'retry: 1\nid: a\n\n: comment\ndata: {"x":"é"}\n\nevent: gap\r\ndata:1\r\ndata: 2\r\n\r\ndata: unfinished',
  );
  const events: StreamEvent[] = [];
  const parser = new EventParser((event) => events.push(event));
  for (const [i, byte] of bytes.entries()) parser.push(Buffer.from([byte]), i);
  expect(events.map(({ type, data }) => [type, data])).toEqual([
    ['message', '{"x":"é"}'],
    ['gap', '1\n2'],
  ]);
  expect(events[0]?.atMs).toBe(bytes.indexOf('\n\nevent') + 1);
});
