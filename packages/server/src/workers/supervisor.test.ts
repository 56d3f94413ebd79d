import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Supervisor, type WorkerEnd, type WorkerEvents } from './supervisor.ts';

const KILLED: WorkerEnd = { code: null, signal: 'SIGKILL' };
const FAILED: WorkerEnd = { code: 1, signal: null };
const CLEAN: WorkerEnd = { code: 0, signal: null };

/** A process that does only what a test says, and records what it was told. */
class FakeProcess {
  readonly index: number;
  readonly events: WorkerEvents;
  readonly orders: string[] = [];

  constructor(index: number, events: WorkerEvents) {
    this.index = index;
    this.events = events;
  }

  stop(): void {
    this.orders.push('stop');
  }

  kill(signal: string): void {
    this.orders.push(signal);
  }
}

let forked: FakeProcess[];
let said: unknown[];
let supervisor: Supervisor<FakeProcess>;

function start(count: number): void {
  forked = [];
  said = [];
  supervisor = new Supervisor({
    count,
    fork: (index, events) => {
      const process = new FakeProcess(index, events);
      forked.push(process);
      return process;
    },
    observer: {
      allReady: () => said.push('all ready'),
      ended: (index, _end, delayMs) => said.push(['ended', index, delayMs]),
      startFailed: () => said.push('start failed'),
      stopped: (isClean) => said.push(['stopped', isClean]),
    },
    now: Date.now,
    random: () => 1,
  });
  supervisor.start();
}
/** The last process that was forked. */
const last = (): FakeProcess => forked.at(-1) as FakeProcess;
const nth = (n: number): FakeProcess => forked[n] as FakeProcess;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the supervisor of workers', () => {
  it('starts as many as it should and says once that all serve', () => {
    start(3);
    expect(forked.map(({ index }) => index)).toEqual([1, 2, 3]);
    nth(0).events.onReady();
    nth(2).events.onReady();
    expect(said).toEqual([]);
    expect(supervisor.workers().map(({ process }) => process !== undefined)).toEqual([true, false, true]);
    nth(1).events.onReady();
    expect(said).toEqual(['all ready']);
  });

  it('starts one that ended again after a while, and says nothing of being ready then', () => {
    start(2);
    for (const { events } of forked) events.onReady();
    nth(1).events.onEnded(KILLED);
    expect(said).toEqual(['all ready', ['ended', 2, 500]]);
    vi.advanceTimersByTime(499);
    expect(forked.length).toBe(2);
    vi.advanceTimersByTime(1);
    expect(last().index).toBe(2);
    last().events.onReady();
    expect(said.length).toBe(2);
    expect(supervisor.workers().map(({ restarts }) => restarts)).toEqual([0, 1]);
  });

  it('waits longer from failure to failure, until one has served for a minute', () => {
    start(2);
    for (const { events } of forked) events.onReady();
    const delays: unknown[] = [];
    const endAndRestart = (): void => {
      last().events.onEnded(FAILED);
      const delayMs = (said.at(-1) as [string, number, number])[2];
      delays.push(delayMs);
      vi.advanceTimersByTime(delayMs);
    };
    for (let i = 0; i < 8; i++) endAndRestart();
    expect(delays).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    last().events.onReady();
    vi.advanceTimersByTime(59_000);
    endAndRestart();
    last().events.onReady();
    vi.advanceTimersByTime(60_000);
    endAndRestart();
    expect(delays.slice(-2)).toEqual([30_000, 500]);
  });

  it('gives the start up when it has failed on every worker, and kills what is left', () => {
    start(3);
    nth(0).events.onEnded(FAILED);
    nth(1).events.onEnded(FAILED);
    expect(said).toEqual([
      ['ended', 1, 500],
      ['ended', 2, 500],
    ]);
    vi.advanceTimersByTime(500);
    expect(forked.length).toBe(5);
    nth(2).events.onEnded(FAILED);
    expect(said.at(-1)).toBe('start failed');
    expect(forked.slice(3).map(({ orders }) => orders)).toEqual([['SIGKILL'], ['SIGKILL']]);
    for (const { events } of forked.slice(3)) events.onEnded(KILLED);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('never gives up once a worker has served', () => {
    start(2);
    nth(0).events.onReady();
    for (const { events } of forked) events.onEnded(FAILED);
    for (let i = 0; i < 10; i++) {
      vi.advanceTimersByTime(30_000);
      for (const { events } of forked.slice(-2)) events.onEnded(FAILED);
    }
    expect(said).not.toContain('start failed');
    expect(forked.length).toBe(22);
  });

  it('lets workers drain when it is stopped, and says when the last one is gone', () => {
    start(2);
    for (const { events } of forked) events.onReady();
    supervisor.stop();
    expect(forked.map(({ orders }) => orders)).toEqual([['stop'], ['stop']]);
    nth(0).events.onEnded(CLEAN);
    expect(said).toEqual(['all ready']);
    nth(1).events.onEnded(CLEAN);
    expect(said).toEqual(['all ready', ['stopped', true]]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is not clean when a worker ends with a failure while it drains', () => {
    start(2);
    for (const { events } of forked) events.onReady();
    supervisor.stop();
    nth(0).events.onEnded(FAILED);
    nth(1).events.onEnded(CLEAN);
    expect(said.at(-1)).toEqual(['stopped', false]);
  });

  it('ends workers that do not serve yet, and forgets those that were to be started', () => {
    start(3);
    nth(0).events.onReady();
    nth(1).events.onEnded(KILLED);
    supervisor.stop();
    expect(forked.map(({ orders }) => orders)).toEqual([['stop'], [], ['SIGTERM']]);
    nth(2).events.onEnded({ code: null, signal: 'SIGTERM' });
    nth(0).events.onEnded(CLEAN);
    vi.advanceTimersByTime(60_000);
    expect(forked.length).toBe(3);
    expect(said.at(-1)).toEqual(['stopped', true]);
  });

  it('is stopped at once when nothing runs', () => {
    start(1);
    nth(0).events.onReady();
    nth(0).events.onEnded(KILLED);
    supervisor.stop();
    expect(said.at(-1)).toEqual(['stopped', true]);
  });
});
