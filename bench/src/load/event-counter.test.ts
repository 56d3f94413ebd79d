import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventCounter } from './event-counter.ts';
import { blankStamp, STAMP_KEY, writeStamp } from './stamp.ts';

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n';

function counterOf(overrides: Partial<ConstructorParameters<typeof EventCounter>[0]> = {}): EventCounter {
  return new EventCounter({ streams: 2, lanes: 2, maxEventBytes: 1024, keepsIds: false, ...overrides });
}

function message(lane: number, sequence: number, id = String(sequence), timeUs = 1000): string {
  const bytes = Buffer.from(`id: ${id}\nevent: info\ndata: {"data":{${blankStamp()},"pad":"xx"}}\n\n`);
  writeStamp(bytes, bytes.indexOf(STAMP_KEY), lane, sequence, timeUs);
  return bytes.toString();
}

function feedAll(counter: EventCounter, text: string, cuts: readonly number[] = []): void {
  const bytes = Buffer.from(text);
  const ends = [...cuts.filter((cut) => cut < bytes.length), bytes.length].sort((a, b) => a - b);
  let from = 0;
  for (const end of ends) {
    const part = Buffer.from(bytes.subarray(from, end));
    if (part.length > 0) counter.feed(0, part, part.length, 3000);
    from = end;
  }
}

describe('the event counter', () => {
  it('counts messages, and what is not a message separately', () => {
    const counter = counterOf();
    feedAll(
      counter,
      `${HEAD}retry: 3000\nid: a\n\n: hi\n\n${message(0, 1)}event: heartbeat\ndata: {}\n\n${message(0, 2)}`,
    );
    expect(counter.messages).toBe(2);
    expect(counter.otherEvents).toBe(3);
    expect(counter.compare((stream) => (stream === 0 ? 2 : 0)).repeated).toBe(0);
  });

  it('counts the same however the bytes are cut', () => {
    const parts = [
      `: hi\n\n`,
      message(0, 1),
      message(1, 1, 'a-longer-id'),
      message(0, 2),
      'event: gap\ndata: 1\n\n',
      message(1, 2),
    ];
    const text = HEAD + parts.join('');
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: text.length }), { maxLength: 30 }), (cuts) => {
        const counter = counterOf();
        feedAll(counter, text, cuts);
        expect([counter.messages, counter.otherEvents, counter.gaps]).toEqual([4, 2, 1]);
        expect(counter.compare((stream) => (stream === 0 ? 2 : 0))).toEqual({ missing: 0, repeated: 0 });
      }),
    );
  });

  it('counts events in HTTP chunks', () => {
    const counter = counterOf();
    const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
    feedAll(counter, HEAD + chunk(': hi\n\n') + chunk(message(0, 1)) + chunk(message(0, 2) + message(0, 3)));
    expect(counter.messages).toBe(3);
    expect(counter.compare((stream, lane) => (stream + lane === 0 ? 3 : 0))).toEqual({
      missing: 0,
      repeated: 0,
    });
  });

  it('finds what is missing, in the middle and at the end, and what comes again', () => {
    const counter = counterOf();
    feedAll(counter, HEAD + message(0, 1) + message(0, 4) + message(0, 4) + message(1, 1));
    const expected = (stream: number, lane: number) => (stream === 1 ? 0 : lane === 0 ? 6 : 1);
    expect(counter.compare(expected)).toEqual({ missing: 4, repeated: 1 });
  });

  it('refuses an answer that is not 200', () => {
    const bytes = Buffer.from('HTTP/1.1 503 Service Unavailable\r\n\r\n');
    expect(counterOf().feed(0, bytes, bytes.length, 0)).toBe('refused');
  });

  it('samples the time from stamp to arrival, not for the streams that are left out', () => {
    const counter = counterOf();
    counter.sampleEvery = 1;
    feedAll(counter, HEAD + message(0, 1));
    counter.sampledFrom = 1;
    feedAll(counter, message(0, 2));
    expect(counter.latency.summary()).toMatchObject({ count: 1, p50Ms: expect.closeTo(2, 1) });
  });

  it('keeps the last id of a stream, over a reconnect too', () => {
    const counter = counterOf({ keepsIds: true });
    feedAll(counter, `${HEAD}id: first\n\n${message(0, 1, 'second')}`);
    counter.restart(0);
    expect(counter.lastIds[0]).toBe('second');
    feedAll(counter, `${HEAD}: hi\n\n${message(0, 2, 'third')}`);
    expect(counter.lastIds[0]).toBe('third');
    expect(counter.compare((stream, lane) => (stream + lane === 0 ? 2 : 0))).toEqual({
      missing: 0,
      repeated: 0,
    });
  });

  it('says so when an event does not fit', () => {
    expect(() => feedAll(counterOf(), `${HEAD}data: ${'x'.repeat(2000)}`)).toThrow(/longer than 1024/);
  });
});
