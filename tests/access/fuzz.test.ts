/**
 * Requests of every form on every documented route: the service neither crashes nor reports an internal error, and
 * every answer is one that the API document describes. `TEST_FUZZ_REQUESTS` sets their number.
 */
import { Agent, request } from 'node:http';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CLOSED_ENV, keyList, MASTER_KEY } from '../support/access/credentials.ts';
import {
  type FuzzedRequest,
  fuzzedRequest,
  type Json,
  type Operation,
} from '../support/access/fuzzed-request.ts';
import { requestJson } from '../support/http/http.ts';
import { Random } from '../support/random.ts';
import { atScale, numberFromEnv } from '../support/scale.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';

const REQUESTS = numberFromEnv('TEST_FUZZ_REQUESTS', atScale(20_000, 4_000));
const AT_ONCE = 24;
/** Statuses that any route may have, or that are sent before a route is found. */
const ALWAYS = new Set([204, 400, 404, 405, 408, 413, 414, 415, 417, 431]);

interface Media {
  readonly schema?: object;
  readonly example?: Json;
}
interface Document {
  readonly paths: Record<
    string,
    Record<
      string,
      {
        readonly parameters?: readonly { readonly name: string; readonly in: string }[];
        readonly requestBody?: { readonly content: Record<string, Media> };
        readonly responses: Record<string, { readonly content?: Record<string, Media> }>;
      }
    >
  >;
}
interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

let server: TestServer;
const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
beforeAll(async () => {
  server = await TestServer.start({
    env: {
      ...CLOSED_ENV,
      API_KEYS: keyList([{ name: 'reader', scopes: ['read'], channels: ['kb:tenant1-*'] }]),
      ENABLE_SWAGGER: 'true',
      TRUST_PROXY: 'true',
    },
  });
});
afterAll(async () => {
  agent.destroy();
  await server?.dispose();
});

function send({ method, target, headers, body }: FuzzedRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port: server.port,
        method,
        path: target,
        agent,
        signal: AbortSignal.timeout(20_000),
        headers: { ...headers, ...(body !== undefined && { 'content-length': body.byteLength }) },
      },
      (response) => {
        const type = response.headers['content-type'] ?? '';
        const status = response.statusCode ?? 0;
        if (type.startsWith('text/event-stream')) {
          resolve({ status, type, text: '' });
          outgoing.destroy();
          return;
        }
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => resolve({ status, type, text: Buffer.concat(parts).toString() }));
        response.on('error', reject);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

test(`${REQUESTS} requests of any form`, { timeout: 600_000 }, async () => {
  const { json: document } = await requestJson<Document>(`${server.url}/openapi.json`);
  const ajv = new Ajv2020({ strict: false, formats: { 'date-time': true }, validateFormats: false });
  ajv.addSchema(document, 'document');
  const validators = new Map<object, (value: unknown) => boolean>();
  const isValid = (schema: object, value: unknown): boolean => {
    let validate = validators.get(schema);
    if (validate === undefined) {
      const rooted: object = JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"document#/')) as object;
      validate = ajv.compile(rooted) as (value: unknown) => boolean;
      validators.set(schema, validate);
    }
    return validate(value);
  };
  const errorSchema = { $ref: '#/components/schemas/Error' };

  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, { parameters = [], requestBody, responses }]) => {
      const media = Object.values(requestBody?.content ?? {})[0];
      const operation: Operation = {
        method: method.toUpperCase(),
        path,
        parameters,
        bodyExample: media?.example,
      };
      return { operation, responses };
    }),
  );
  expect(operations.length).toBeGreaterThan(20);

  const random = new Random();
  const wrong: object[] = [];
  const statuses: Record<number, number> = {};
  let sent = 0;
  const worker = async (): Promise<void> => {
    while (sent < REQUESTS && wrong.length < 10) {
      const { operation, responses } = operations[sent++ % operations.length] as (typeof operations)[number];
      const asked = fuzzedRequest(operation, random);
      const { status, type, text } = await send(asked);
      statuses[status] = (statuses[status] ?? 0) + 1;
      // A # ends a path, and the part before it may be another route.
      const isOperation = asked.method === operation.method && !asked.target.includes('#');
      const problem = problemOf(status, type, text, isOperation, responses);
      if (problem !== undefined) {
        const { method, target, headers, body } = asked;
        wrong.push({
          problem,
          status,
          method,
          target,
          headers,
          body: body && Buffer.from(body).toString(),
          text,
        });
      }
    }
  };
  const problemOf = (
    status: number,
    type: string,
    text: string,
    isOperation: boolean,
    responses: (typeof operations)[number]['responses'],
  ): string | undefined => {
    if (status >= 500 || status < 200) return 'a fault';
    if (isOperation && responses[status] === undefined && !ALWAYS.has(status))
      return 'a status that the document does not know';
    if (text === '') return undefined;
    if (!type.startsWith('application/json')) return isOperation ? 'no JSON' : undefined;
    const schema = status >= 400 ? errorSchema : responses[status]?.content?.['application/json']?.schema;
    if (schema === undefined || (status < 400 && !isOperation)) return undefined;
    return isValid(schema, JSON.parse(text)) ? undefined : 'not what its schema says';
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  expect(wrong, `TEST_SEED=${random.seed}`).toEqual([]);
  expect(sent).toBeGreaterThanOrEqual(REQUESTS);
  // Enough requests were accepted for the test to mean something.
  expect(statuses[200]).toBeGreaterThan(REQUESTS / 20);

  // The same process still stores and delivers messages.
  const headers = { 'x-api-key': MASTER_KEY };
  const stream = new StreamClient({ port: server.port, path: '/sse/user/after', headers, reconnects: false });
  await stream.opened();
  const body = { type: 'info', service: 't', target: { user_id: 'after' }, data: { n: 1 } };
  await requestJson(`${server.url}/sse/api/v1/messages/send`, { body, headers });
  await stream.event('the message', ({ type }) => type === 'info');
  stream.close();
  expect([server.starts, server.isRunning]).toEqual([1, true]);
  expect(server.output).not.toContain('"level":"ERROR"');
});
