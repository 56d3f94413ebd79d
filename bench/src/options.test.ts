import { describe, expect, it } from 'vitest';
import { type Options, parseOptions } from './options.ts';
import { idle } from './scenarios/idle.ts';
import { slowReaders } from './scenarios/slow-readers.ts';

function parsed(...args: string[]): Options {
  const options = parseOptions(args);
  if (typeof options === 'string') throw new Error('help');
  return options;
}

describe('the command line', () => {
  it('without arguments is every scenario against every peer', () => {
    const options = parsed();
    expect(options.scenarios.map((s) => s.name)).toEqual([
      'broadcast',
      'unicast',
      'idle',
      'reconnect-storm',
      'slow-readers',
      'redis-publish',
      'redis-latency',
      'redis-nodes',
      'redis-fleet',
      'redis-memory',
    ]);
    expect(options.peers).toEqual(['ours', 'nchan', 'plain']);
    expect(options.settingsOf(idle).streams).toBe(10_000);
    expect(options.settingsOf(slowReaders)).toMatchObject({ durationMs: 60_000, messageBytes: 1024 });
  });

  it('overrides what a scenario wants', () => {
    const options = parsed(
      'idle',
      '--peers',
      'nchan,plain',
      '--streams',
      '50',
      '--duration=2.5',
      '--no-resume',
    );
    expect(options.peers).toEqual(['nchan', 'plain']);
    expect(options.settingsOf(idle)).toMatchObject({ streams: 50, durationMs: 2500, resumes: false });
  });

  it('writes nothing when it is quick', () => {
    expect(parsed('--quick')).toMatchObject({ writesResults: false, writesCharts: false, rounds: 1 });
  });

  it.each([
    [['storm'], /no scenario "storm"; there are broadcast/],
    [['--peers', 'ours,socketio'], /no peer "socketio"/],
    [['--streams', '0'], /--streams must be a number from 1/],
    [['--streams', 'many'], /--streams must be a number/],
    [['--fast'], /fast/],
  ])('refuses %j and says what is allowed', (args, message) => {
    expect(() => parseOptions(args)).toThrow(message);
  });

  it('has help that names every scenario', () => {
    expect(parseOptions(['--help'])).toContain('reconnect-storm');
  });
});
