import { createParser } from 'eventsource-parser';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  EventStreamParser,
  type EventStreamParserOptions,
  EventTooLongError,
  type StreamEvent,
} from './event-stream-parser.ts';

/** What a parser said and how it stands after the bytes, cut before each of `cuts`. */
interface Outcome {
  readonly events: readonly StreamEvent[];
  readonly idsOnly: readonly string[];
  readonly lastEventId: string;
  readonly retryMs: number | undefined;
}

function parse(
  bytes: Uint8Array | string,
  cuts: readonly number[] = [],
  options?: Partial<EventStreamParserOptions>,
): Outcome {
  const all = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes;
  const events: StreamEvent[] = [];
  const idsOnly: string[] = [];
  const parser = new EventStreamParser({
    onEvent: (event) => events.push(event),
    onIdOnly: (id) => idsOnly.push(id),
    ...options,
  });
  let start = 0;
  for (const cut of [...cuts, all.length]) {
    parser.push(all.subarray(start, cut));
    start = cut;
  }
  return { events, idsOnly, lastEventId: parser.lastEventId, retryMs: parser.retryMs };
}

const everyByte = (text: string): number[] => [...new TextEncoder().encode(text).keys()];

/** Events as `[type, data]`, or `[type, data, lastEventId]` where the stream gave an id. */
const listed = ({ events }: Outcome): string[][] =>
  events.map(({ type, data, lastEventId }) =>
    lastEventId === '' ? [type, data] : [type, data, lastEventId],
  );

const STREAMS: readonly (readonly [
  title: string,
  stream: string,
  events: string[][],
  lastEventId?: string,
])[] = [
  // The examples of the standard, in its order.
  ['one line of data', 'data: This is the first message.\n\n', [['message', 'This is the first message.']]],
  ['lines of data, joined', 'data: YHOO\ndata: +2\ndata: 10\n\n', [['message', 'YHOO\n+2\n10']]],
  [
    'events with and without an id, and an id that is reset',
    ': test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n',
    [
      ['message', 'first event', '1'],
      ['message', 'second event'],
      ['message', ' third event'],
    ],
  ],
  [
    'empty data, a lone line feed as data, and an unfinished block',
    'data\n\ndata\ndata\n\ndata:',
    [
      ['message', ''],
      ['message', '\n'],
    ],
  ],
  [
    'one space after the colon, which means nothing',
    'data:test\n\ndata: test\n\n',
    [
      ['message', 'test'],
      ['message', 'test'],
    ],
  ],
  // Fields.
  ['an event with a name', 'event: gap\ndata: 1\n\n', [['gap', '1']]],
  [
    'a name for its own block only, with data or without',
    'event: a\n\ndata: 1\n\nevent: b\ndata: 2\n\ndata: 3\n\n',
    [
      ['message', '1'],
      ['b', '2'],
      ['message', '3'],
    ],
  ],
  ['the last of several names, were it empty', 'event: a\nevent\ndata: 1\n\n', [['message', '1']]],
  ['an id after the data', 'data: 1\nid: 7\n\n', [['message', '1', '7']], '7'],
  [
    'an id that stays for the events after it',
    'id: 7\ndata: 1\n\ndata: 2\n\n',
    [
      ['message', '1', '7'],
      ['message', '2', '7'],
    ],
    '7',
  ],
  ['an id without data', 'id: 7\n\n', [], '7'],
  ['an id of an unfinished block', 'id: 7\n\nid: 8\n', [], '7'],
  [
    'an id with NUL, which is ignored',
    'id: 7\ndata: 1\n\nid: 8\0\ndata: 2\n\n',
    [
      ['message', '1', '7'],
      ['message', '2', '7'],
    ],
    '7',
  ],
  ['a colon in a value', 'data: a: b\n\n', [['message', 'a: b']]],
  ['comments, also within a block', ':\n: a\ndata: 1\n:data: 2\n\n', [['message', '1']]],
  ['fields that mean nothing', 'Data: 1\n data: 2\ndata : 3\nnothing\ndata1\ndatas: 4\n\n', []],
  ['blocks without data', '\n\n\nevent: a\n\nretry: 1\n\n', []],
  ['nothing', '', []],
  // Bytes.
  ['a byte order mark at the start', '\ufeffdata: 1\n\n', [['message', '1']]],
  ['only one byte order mark', '\ufeff\ufeffdata: 1\ndata: 2\n\n', [['message', '2']]],
  ['a byte order mark elsewhere', 'data: \ufeff1\n\n', [['message', '\ufeff1']]],
  ['characters of two, three and four bytes', 'data: é消😀\n\n', [['message', 'é消😀']]],
  ['lines that end with CRLF', 'data: 1\r\ndata: 2\r\n\r\n', [['message', '1\n2']]],
  ['lines that end with CR', 'data: 1\rdata: 2\r\r', [['message', '1\n2']]],
  [
    'lines that end in each way',
    'data: 1\r\ndata: 2\rdata: 3\n\r\ndata: 4\n\r',
    [
      ['message', '1\n2\n3'],
      ['message', '4'],
    ],
  ],
  [
    'separators of Unicode, which end no line',
    'data: a\u2028b\u0085c\v\f\n\n',
    [['message', 'a\u2028b\u0085c\v\f']],
  ],
];

describe('a parser of event streams reads', () => {
  for (const [title, stream, events, lastEventId = ''] of STREAMS) {
    it(title, () => {
      for (const cuts of [[], everyByte(stream)]) {
        const outcome = parse(stream, cuts);
        expect(listed(outcome)).toEqual(events);
        expect(outcome.lastEventId).toBe(lastEventId);
      }
    });
  }

  it('a retry of digits alone, at once and not with its block', () => {
    for (const [stream, retryMs] of [
      ['retry: 1500', undefined],
      ['retry: 1500\n', 1500],
      ['retry:0\n', 0],
      ['retry: 1\nretry: 2\ndata: a\n\n', 2],
      ['retry\n', undefined],
      ['retry:\n', undefined],
      ['retry: 1.5\n', undefined],
      ['retry: -1\n', undefined],
      ['retry:  1\n', undefined],
      ['retry: 1 \n', undefined],
      ['retry: 0x10\n', undefined],
      ['retry: ١\n', undefined],
      ['retry: 5\nretry: soon\n', 5],
    ] as const) {
      expect(parse(stream).retryMs, stream).toBe(retryMs);
    }
  });

  it('a retry that is longer than any timer as the longest there is', () => {
    expect(parse(`retry: ${'9'.repeat(400)}\n`).retryMs).toBe(2_147_483_647);
  });

  it('bytes that are no UTF-8 as the replacement character', () => {
    const bytes = Uint8Array.from([...Buffer.from('data: a'), 0xff, 0xe6, 0xb6, ...Buffer.from('b\n\n')]);
    expect(listed(parse(bytes))).toEqual([['message', 'a\ufffd\ufffdb']]);
  });
});

describe('a parser of event streams', () => {
  it('calls as soon as the block is complete, even if half a line end is still to come', () => {
    const events: StreamEvent[] = [];
    const parser = new EventStreamParser({ onEvent: (event) => events.push(event) });
    parser.push(Buffer.from('data: 1\r\n\r'));
    expect(events).toHaveLength(1);
    parser.push(Buffer.from('\ndata: 2\n\n'));
    expect(events.map(({ data }) => data)).toEqual(['1', '2']);
  });

  it('goes on from the id of an earlier connection', () => {
    const { events, lastEventId } = parse('data: 1\n\n', [], { lastEventId: 'a' });
    expect([events[0]?.lastEventId, lastEventId]).toEqual(['a', 'a']);
    expect(parse('id\n\n', [], { lastEventId: 'a' }).lastEventId).toBe('');
  });

  it('says when a block without data moves the last event id, and only then', () => {
    expect(parse('id: 1\n\nid: 1\n\n\nid: 2\ndata: a\n\nid: 3\n\nid: 4\n').idsOnly).toEqual(['1', '3']);
  });

  it('refuses a line and the data of an event beyond its bound, however they are cut', () => {
    const bound = { maxEventLength: 20 };
    const fits = `data: ${'x'.repeat(14)}\n\ndata: 123456789\ndata: 1234567890\n\n`;
    for (const [stream, events] of [
      [`${fits}data: ${'x'.repeat(15)}\n\n`, 2],
      [`${fits}data: ${'x'.repeat(15)}`, 2],
      [`${fits}:${'x'.repeat(20)}`, 2],
      [`${fits}data: 1234567890\ndata: 1234567890\n`, 2],
    ] as const) {
      for (const cuts of [[], everyByte(stream)]) {
        let seen = 0;
        const onEvent = (): void => {
          seen++;
        };
        expect(() => parse(stream, cuts, { ...bound, onEvent }), stream).toThrow(EventTooLongError);
        expect(seen).toBe(events);
      }
    }
    expect(parse(fits, [], bound).events).toHaveLength(2);
  });

  it('reads nothing more once an event was too long', () => {
    const events: StreamEvent[] = [];
    const parser = new EventStreamParser({ onEvent: (event) => events.push(event), maxEventLength: 10 });
    expect(() => parser.push(Buffer.from('data: 1234567890'))).toThrow(EventTooLongError);
    expect(() => parser.push(Buffer.from('\n\ndata: 1\n\n'))).toThrow(EventTooLongError);
    expect(events).toEqual([]);
  });

  it('keeps many small pieces of a large event without reading them over and over', () => {
    const piece = Buffer.alloc(64, 'x');
    const events: StreamEvent[] = [];
    const parser = new EventStreamParser({ onEvent: (event) => events.push(event) });
    parser.push(Buffer.from('data: '));
    for (let i = 0; i < 100_000; i++) parser.push(piece);
    parser.push(Buffer.from('\n\n'));
    expect(events[0]?.data).toHaveLength(6_400_000);
  });
});

/** Streams that are mostly well formed, with everything in them that the standard has a rule for. */
const streams = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom('\n', '\r', '\r\n', '\n\n', '\r\r', '\r\n\r\n') },
      {
        weight: 6,
        arbitrary: fc.constantFrom('data', 'data:', 'data: ', 'event: ', 'id', 'id: ', 'retry: ', ':'),
      },
      { weight: 2, arbitrary: fc.constantFrom('a', '12', ' ', ':', '消息', '😀', 'é', '\0', '\ufeff') },
      { weight: 1, arbitrary: fc.string() },
    ),
    { maxLength: 60 },
  )
  .map((parts) => new TextEncoder().encode(parts.join('')));

const cutsOf = (bytes: Uint8Array): fc.Arbitrary<number[]> =>
  fc.array(fc.nat(bytes.length), { maxLength: 20 }).map((cuts) => cuts.sort((a, b) => a - b));

describe('whatever the stream, a parser of event streams', () => {
  it('gives the same events for every way in which the bytes are cut', () => {
    // Any bytes at all among them, so that characters are broken in every way.
    const anyBytes = fc.oneof(streams, fc.uint8Array({ maxLength: 200 }));
    const cases = anyBytes.chain((bytes) => fc.tuple(fc.constant(bytes), cutsOf(bytes)));
    fc.assert(
      fc.property(cases, ([bytes, cuts]) => {
        expect(parse(bytes, cuts)).toEqual(parse(bytes));
      }),
      { numRuns: 3000 },
    );
  });

  it('agrees with the standard as it is worded', () => {
    fc.assert(
      fc.property(streams, (bytes) => {
        expect(parse(bytes)).toMatchObject(parseByTheBook(new TextDecoder().decode(bytes)));
      }),
      { numRuns: 3000 },
    );
  });

  it('agrees with the parser that most programs outside of browsers use', () => {
    fc.assert(
      fc.property(streams, (bytes) => {
        const text = new TextDecoder().decode(bytes);
        expect(listed(parse(bytes))).toEqual(parseWithPackage(text));
      }),
      { numRuns: 3000 },
    );
  });
});

/** The standard's steps in its own words and order, for a whole stream at once. */
function parseByTheBook(text: string): Omit<Outcome, 'idsOnly' | 'retryMs'> {
  const events: StreamEvent[] = [];
  let lastEventId = '';
  let dataBuffer = '';
  let typeBuffer = '';
  let idBuffer = '';
  const lines = text.split(/\r\n|\n|\r/);
  // What follows the last line end is no line.
  for (const line of lines.slice(0, -1)) {
    if (line === '') {
      lastEventId = idBuffer;
      if (dataBuffer !== '') {
        events.push({
          type: typeBuffer === '' ? 'message' : typeBuffer,
          data: dataBuffer.replace(/\n$/, ''),
          lastEventId,
        });
      }
      dataBuffer = '';
      typeBuffer = '';
      continue;
    }
    const [, field, , value = ''] = /^([^:]*)(: ?)?(.*)$/s.exec(line) ?? [];
    if (field === 'event') typeBuffer = value;
    if (field === 'data') dataBuffer += `${value}\n`;
    if (field === 'id' && !value.includes('\0')) idBuffer = value;
  }
  return { events, lastEventId };
}

function parseWithPackage(text: string): string[][] {
  const events: string[][] = [];
  let lastEventId = '';
  const parser = createParser({
    onId: (id) => {
      lastEventId = id;
    },
    onEvent: ({ event = 'message', data }) => {
      events.push(lastEventId === '' ? [event, data] : [event, data, lastEventId]);
    },
  });
  parser.feed(text);
  // It waits for the second half of a line end that may be CRLF.
  if (text.endsWith('\r')) parser.feed('\n');
  return events;
}
