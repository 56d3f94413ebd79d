import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RequestError } from '../../core/errors.ts';
import { isStreamPath, parseStreamRequest, type StreamRequest } from './stream-request.ts';

const NOW = Date.UTC(2026, 0, 2);
const parse = (target: string, lastEventId?: string): StreamRequest =>
  parseStreamRequest(target, lastEventId, {
    maxChannels: 6,
    defaultEventMode: 'named',
    defaultErrorEvent: 'error',
    nowMs: NOW,
  });
const problemsOf = (target: string): string[] => {
  try {
    parse(target);
  } catch (error) {
    return (error as RequestError).details?.map((d) => d.field) ?? [(error as RequestError).code];
  }
  return [];
};

describe('the URL of a stream', () => {
  it.each([
    ['/sse/user/7', ['user:7', 'broadcast']],
    ['/sse/user/7?session_id=s&channels=a,kb:9', ['user:7', 'session:s', 'channel:a', 'kb:9', 'broadcast']],
    ['/sse/stream?user_id=7&channels=a&channels=b,a', ['user:7', 'channel:a', 'channel:b', 'broadcast']],
    ['/sse/stream?channels=broadcast,a,user:7', ['channel:a', 'user:7', 'broadcast']],
    ['/sse/service/kb?user_id=7', ['service:kb', 'user:7', 'broadcast']],
    ['/sse/task/t%2F1', ['task:t/1', 'broadcast']],
    ['/sse/stream', ['broadcast']],
  ])('%s joins %j', (target, channels) => {
    expect(parse(target).channels).toEqual(channels);
  });

  it('takes an empty parameter for an absent one', () => {
    expect(parse('/sse/user/7?session_id=&channels=&since=&event_mode=&error_event=&last_event_id=')).toEqual(
      parse('/sse/user/7'),
    );
  });

  it('prefers the header to the parameter for the last event id', () => {
    expect(parse('/sse/user/7?last_event_id=q').cursor).toBe('q');
    expect(parse('/sse/user/7?last_event_id=q', 'h').cursor).toBe('h');
    expect(parse('/sse/user/7', '').cursor).toBeUndefined();
  });

  it.each([
    ['all', { kind: 'all' }],
    ['latest', { kind: 'last', count: 1 }],
    ['25', { kind: 'last', count: 25 }],
    ['10m', { kind: 'time', sinceMs: NOW - 600_000 }],
    ['1767312000', { kind: 'time', sinceMs: 1_767_312_000_000 }],
    ['1767312000123', { kind: 'time', sinceMs: 1_767_312_000_123 }],
    ['2026-01-01T00:00:00Z', { kind: 'time', sinceMs: NOW - 86_400_000 }],
    ['2026-01-01T02:00:00+02:00', { kind: 'time', sinceMs: NOW - 86_400_000 }],
  ])('since=%s starts there', (since, start) => {
    expect(parse(`/sse/user/7?since=${since}`).start).toEqual(start);
  });

  it('names every parameter that is wrong', () => {
    expect(
      problemsOf(
        '/sse/user/%00?session_id=%0A&channels=connection:x,:,kb:&since=never&event_mode=x&error_event=gap',
      ),
    ).toEqual([
      'path.user_id',
      'query.session_id',
      'query.channels',
      'query.channels',
      'query.since',
      'query.event_mode',
      'query.error_event',
    ]);
    expect(problemsOf('/sse/stream?channels=a,b,c,d,e,f')).toEqual(['query.channels']);
    expect(problemsOf('/sse/user/%E0%A4%A')).toEqual(['malformed_request']);
  });

  it('of any kind is read, or refused with a RequestError', () => {
    const url = fc
      .tuple(
        fc.constantFrom('/sse/user/', '/sse/stream', '/sse/task/', '/sse/x'),
        fc.string({ unit: 'binary' }),
        fc.constantFrom('', '?', '?channels=', '?since=', '?user_id=', '?error_event='),
        fc.string({ unit: 'binary' }),
      )
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(url, fc.option(fc.string(), { nil: undefined }), (target, lastEventId) => {
        try {
          const { channels } = parse(target, lastEventId);
          expect(new Set(channels).size).toBe(channels.length);
          expect(channels.at(-1)).toBe('broadcast');
        } catch (error) {
          if (!(error instanceof RequestError)) throw error;
          expect(error.status).toBeLessThan(500);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('is told from other paths', () => {
    for (const path of ['/sse/user/1', '/sse/stream', '/sse/service/a', '/sse/task/a']) {
      expect(isStreamPath(path)).toBe(true);
    }
    for (const path of ['/sse/user/', '/sse/user/1/2', '/sse/stream/1', '/sse/health', '/']) {
      expect(isStreamPath(path)).toBe(false);
    }
  });
});
