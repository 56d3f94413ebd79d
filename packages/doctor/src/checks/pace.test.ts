import { describe, expect, it } from 'vitest';
import type { WatchedEvent } from '../watched-stream.ts';
import { type Arrival, echoProblem, heartbeatProblem } from './pace.ts';

const EVERY_MS = 250;

/** Arrivals of messages of which the n-th was published at n × 250 ms. */
function arriving(...atMs: readonly number[]): Arrival[] {
  return atMs.map((at, n) => ({ atMs: at, delayMs: at - n * EVERY_MS }));
}

/** [written, arrived] in seconds. */
function beats(...times: readonly (readonly [number, number])[]): WatchedEvent[] {
  return times.map(([written, arrived]) => ({
    type: 'heartbeat',
    data: JSON.stringify({ timestamp: new Date(written * 1000).toISOString() }),
    atMs: arrived * 1000,
  }));
}

describe('messages that the doctor sends itself', () => {
  it('are fine when each comes after its own time', () => {
    expect(echoProblem(arriving(5, 255, 505, 755, 1005, 1255))).toBeUndefined();
  });

  it('are fine when a machine stumbles once and two come together', () => {
    expect(echoProblem(arriving(5, 255, 900, 905, 1005, 1255))).toBeUndefined();
  });

  it('come in bursts when most come together with another', () => {
    expect(echoProblem(arriving(700, 701, 702, 1400, 1401, 1402))).toEqual({
      code: 'bursts',
      seen: { count: 6, seconds: 0.7 },
    });
  });

  it('come late when they are held back one by one', () => {
    expect(echoProblem(arriving(1500, 1750, 2000, 2250, 2500, 2750))).toEqual({
      code: 'late',
      seen: { seconds: 1.5 },
    });
  });
});

describe('heartbeats', () => {
  it('are fine when all take the same time, whatever the clocks say', () => {
    expect(heartbeatProblem(beats([100, 1], [101, 2.1], [102, 3]))).toBeUndefined();
    expect(heartbeatProblem(beats([100, 1]))).toBeUndefined();
  });

  it('come in bursts when several that were written apart come together', () => {
    expect(heartbeatProblem(beats([100, 3], [101, 3.01], [102, 3.02]))).toMatchObject({ code: 'bursts' });
  });

  it('come late when one takes longer than another', () => {
    expect(heartbeatProblem(beats([100, 1], [101, 4], [105, 6]))).toMatchObject({ code: 'late' });
  });
});
