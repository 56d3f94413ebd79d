import { describe, expect, it } from 'vitest';
import { RequestError } from '../../core/errors.ts';
import { createFrontPublish } from './front-publish.ts';
import { parsePlainHead } from './front-request.ts';

function headOf(target: string) {
  const head = parsePlainHead(`POST ${target} HTTP/1.1\r\nHost: h\r\nContent-Length: 2`);
  if (head === undefined) throw new Error('the head is not plain');
  return head;
}

describe('a publish on the fast lane', () => {
  const target = '/sse/api/v1/messages/send?ack=replicated';
  const asked: unknown[] = [];
  let failure: Error | undefined;
  const { publish } = createFrontPublish({
    publisher: {
      handle: async (kind, body, ack) => {
        asked.push([kind, Buffer.from(body).toString(), ack]);
        if (failure !== undefined) throw failure;
        return { status: 200, json: '{"ack":"replicated"}' };
      },
    },
    gate: {
      isOpen: true,
      ask: () => {
        throw new Error('nobody is asked');
      },
    },
    clientIp: () => '127.0.0.1',
    serviceName: 'push',
    isTracing: false,
    onAnswered: (...answer) => asked.push(answer.slice(0, 2)),
    onFault: () => {},
  });

  it('asks for the level that its target names', async () => {
    const answer = await publish('send', Buffer.from('{}'), headOf(target), 'replicated', undefined);
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n\{"ack":"replicated"\}$/);
    expect(asked.splice(0)).toEqual([
      ['send', '{}', 'replicated'],
      ['send', 200],
    ]);
  });

  it('is refused under its path, without the query', async () => {
    failure = new RequestError('not_replicated', 'stored, but not replicated', { retryAfterSeconds: 2 });
    const answer = await publish('send', Buffer.from('{}'), headOf(target), 'replicated', undefined);
    expect(answer).toMatch(/^HTTP\/1\.1 503 [\s\S]*\r\nRetry-After: 2\r\n/);
    expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))).toMatchObject({
      code: 'not_replicated',
      path: '/sse/api/v1/messages/send',
    });
  });
});
