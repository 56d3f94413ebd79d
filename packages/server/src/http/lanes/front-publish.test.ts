import type { Socket } from 'node:net';
import { pino } from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import { RequestError } from '../../core/errors.ts';
import { Answers } from '../answers.ts';
import { PublishExchange } from '../publish-exchange.ts';
import type { PlainAnswer } from './front.ts';
import { FrontPublish } from './front-publish.ts';
import { type PlainHead, parsePlainHead } from './front-request.ts';

const SEND = '/sse/api/v1/messages/send';

function headOf(target: string, more = '', length = 2): PlainHead {
  const head = parsePlainHead(
    `POST ${target} HTTP/1.1\r\nHost: h\r\n${more}Content-Length: ${length}`.replace(/\r\n$/, ''),
  );
  if (head === undefined) throw new Error('the head is not plain');
  return head;
}

describe('a publish on the fast lane', () => {
  const asked: unknown[] = [];
  let failure: Error | undefined;
  const lane = new FrontPublish({
    exchange: new PublishExchange({
      publisher: {
        handle: async ({ kind, body, queryAck, caller }) => {
          asked.push(
            [kind, Buffer.from(body).toString(), queryAck, caller].filter((part) => part !== undefined),
          );
          if (failure !== undefined) throw failure;
          return '{"success":true}';
        },
      },
      maxMessageBytes: 1000,
      maxBatchBytes: 2000,
    }),
    answers: new Answers({
      serviceName: 'push',
      cors: { origins: '*', allowsCredentials: false },
      transportHeaders: {},
      log: pino({ enabled: false }),
      counterOf: (method, route) => ({ record: (status) => asked.push([method, route, status]) }),
    }),
    gate: {
      isOpen: true,
      ask: () => {
        throw new Error('nobody is asked');
      },
    },
    clientIp: () => '127.0.0.1',
  });
  const begin = (head: PlainHead) => lane.begin(head, {} as Socket);
  const publish = (head: PlainHead): Promise<PlainAnswer> | undefined =>
    begin(head)?.answer(Buffer.from('{}'));

  beforeEach(() => {
    asked.length = 0;
    failure = undefined;
  });

  it('asks for the level that its target names, each for its own', async () => {
    const batch = '/sse/api/v1/messages/batch';
    for (const target of [SEND, `${SEND}?ack=replicated`, `${batch}?ack=stored`]) {
      const answer = await publish(headOf(target));
      expect(answer?.head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(answer?.body).toBe('{"success":true}');
    }
    expect(asked).toEqual([
      ['send', '{}'],
      ['POST', SEND, 200],
      ['send', '{}', 'replicated'],
      ['POST', SEND, 200],
      ['batch', '{}', 'stored'],
      ['POST', batch, 200],
    ]);
  });

  it('carries the trace that its head names', async () => {
    await publish(headOf(SEND, 'Traceparent: 00-1\r\nTracestate: a=1\r\n'));
    expect(asked[0]).toEqual(['send', '{}', { traceparent: '00-1', tracestate: 'a=1' }]);
  });

  it('is left to the HTTP server when it is anything but the plainest', () => {
    for (const query of [
      '?',
      '?ack=',
      '?ack=x',
      '?ack=%73tored',
      '?ack=stored&ack=replicated',
      '?a=1&ack=stored',
    ]) {
      expect(begin(headOf(SEND + query)), query).toBeUndefined();
    }
    expect(begin(headOf(`${SEND}/`))).toBeUndefined();
    expect(begin(headOf('/sse/api/v1/tickets'))).toBeUndefined();
    expect(begin(headOf(SEND, 'Origin: o\r\n'))).toBeUndefined();
    expect(begin(headOf(SEND, 'Content-Type: text/plain\r\n'))).toBeUndefined();
    expect(begin(headOf(SEND, '', 1001))).toBeUndefined();
    expect(begin(headOf(SEND, '', 1000))).toBeDefined();
    expect(begin(headOf('/sse/api/v1/messages/batch', '', 2000))).toBeDefined();
  });

  it('is refused under its path, without the query', async () => {
    failure = new RequestError('not_replicated', 'stored, but not replicated', { retryAfterSeconds: 2 });
    const answer = await publish(headOf(`${SEND}?ack=replicated`));
    expect(answer?.head).toMatch(/^HTTP\/1\.1 503 [\s\S]*\r\nretry-after: 2\r\n/);
    expect(JSON.parse(answer?.body ?? '')).toMatchObject({ code: 'not_replicated', path: SEND });
  });
});
