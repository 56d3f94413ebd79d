/**
 * The service on every Node.js that it supports: it starts, publishes, is killed, and gives a stream that comes back
 * exactly the rest. The tests themselves run on the Node.js of development.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { request } from '../support/http/http.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { TestAuthority, tlsEnv } from '../support/tls/certificates.ts';
import { Http2Client } from '../support/tls/http2-client.ts';
import { waitFor } from '../support/wait.ts';

interface Manifest {
  readonly engines: { readonly node: string };
  readonly optionalDependencies: Readonly<Record<string, string>>;
}

interface ShownEvent {
  readonly type: string;
  readonly data: string;
  readonly lastEventId: string;
}

interface Reader {
  readonly events: readonly ShownEvent[];
  close(): void;
}

type Env = Readonly<Record<string, string>>;

const fileOf = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const manifestOf = (folder: string): Manifest =>
  JSON.parse(readFileSync(fileOf(`${folder}/package.json`), 'utf8')) as Manifest;

/** Each Node.js by its version, as in `v26.12.1`: that of development, and those of this folder. */
const PROGRAMS = new Map(
  ['.', '../..'].flatMap((folder) =>
    Object.entries(manifestOf(folder).optionalDependencies).map(
      ([name, range]) =>
        [`v${range.split('@').at(-1)}`, fileOf(`${folder}/node_modules/${name}/bin/node`)] as const,
    ),
  ),
);
const STREAM_PATH = '/sse/user/a?channels=task:b';
const BEFORE_KILL = 40;
const SEEN = 15;
const MESSAGES = 60;
/** Node.js 22 says it on standard error, once for each thread; nothing else may be written beside the log. */
const SQLITE_NOTICE =
  /^\(node:\d+\) ExperimentalWarning: SQLite is an experimental feature|^\(Use `node --trace-warnings/;

// Elsewhere npm installs none of these packages, and the tests run on the system's Node.js.
const isSupported = process.platform === 'linux' && process.arch === 'x64';

describe.skipIf(!isSupported)('Node.js', () => {
  let redis: RedisServer;
  let authority: TestAuthority;
  let tls: Env;

  beforeAll(async () => {
    const missing = [...PROGRAMS.values()].filter((program) => !existsSync(program));
    if (missing.length > 0)
      throw new Error(
        `${missing.join(', ')} is missing: run ./scripts/test.sh, or: npm ci --prefix tests/nodes`,
      );
    authority = new TestAuthority();
    tls = tlsEnv(authority.issue('own'));
    redis = await RedisServer.start();
  });
  afterAll(async () => {
    authority?.dispose();
    await redis?.dispose();
  });

  it('22, 24 and 26 are put to the test, 22 as the oldest that package.json allows', () => {
    const versions = [...PROGRAMS.keys()];
    expect(versions.map((version) => version.split('.')[0])).toEqual(['v22', 'v24', 'v26']);
    expect(`>=${versions[0]}`.replace('v', '')).toBe(`${manifestOf('../..').engines.node}.0`);
  });

  describe.each([...PROGRAMS])('%s', (version, node) => {
    it('resumes over HTTP/1.1 on the embedded engine', () => resumesExactly(version, node, {}, readPlainly));

    it('resumes over HTTP/2 on the embedded engine', () =>
      resumesExactly(version, node, tls, (server, cursor) => readOverHttp2(server, authority.ca, cursor)));

    it('resumes over HTTP/1.1 on the redis engine', () =>
      resumesExactly(version, node, standaloneEnv(redis), readPlainly));
  });
});

async function resumesExactly(
  version: string,
  node: string,
  env: Env,
  read: (server: TestServer, cursor: string) => Promise<Reader>,
): Promise<void> {
  const server = await TestServer.start({ node, env: { LOG_LEVEL: 'INFO', ...env } });
  try {
    await expectQuietStart(server, version);
    const first = await read(server, '');
    await publish(server, 0, BEFORE_KILL);
    await shown(first, BEFORE_KILL);
    expect(numbersOf(first)).toEqual(range(0, BEFORE_KILL));
    const cursor = first.events.find((event) => numberOf(event) === SEEN - 1)?.lastEventId ?? '';
    await server.kill();
    first.close();

    await server.start();
    await expectQuietStart(server, version);
    await publish(server, BEFORE_KILL, MESSAGES);
    const second = await read(server, cursor);
    await shown(second, MESSAGES - SEEN);
    expect(numbersOf(second)).toEqual(range(SEEN, MESSAGES));
    expect(second.events.filter(({ type }) => type === 'gap')).toEqual([]);
    second.close();
    // Fastify's side of the service.
    expect((await request(`${server.url}/openapi.json`)).status).toBe(200);
    expect(await server.stop()).toEqual({ code: 0, signal: null });
  } finally {
    await server.dispose();
  }
}

/** The process says which Node.js it runs on, and that Node.js has nothing to complain about. */
async function expectQuietStart(server: TestServer, version: string): Promise<void> {
  const ready = await waitFor('the line of readiness', () =>
    logOf(server).find(({ message }) => message?.startsWith('ready:')),
  );
  expect(ready.node).toBe(version);
  expect(strayLinesOf(server).filter((line) => !isExpected(line, version))).toEqual([]);
}

const isExpected = (line: string, version: string): boolean =>
  version.startsWith('v22.') && SQLITE_NOTICE.test(line);

const linesOf = (server: TestServer): string[] => server.output.split('\n').filter((line) => line !== '');

const strayLinesOf = (server: TestServer): string[] =>
  linesOf(server).filter((line) => !line.startsWith('{'));

function logOf(server: TestServer): { message?: string; node?: string }[] {
  return linesOf(server)
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line));
}

async function readPlainly(server: TestServer, cursor: string): Promise<Reader> {
  const headers: Env = cursor === '' ? {} : { 'Last-Event-ID': cursor };
  const client = new StreamClient({ port: server.port, path: STREAM_PATH, headers, reconnects: false });
  await client.opened();
  return client;
}

async function readOverHttp2(server: TestServer, ca: string, cursor: string): Promise<Reader> {
  const client = new Http2Client(server.url, ca);
  const stream = client.open(STREAM_PATH, cursor === '' ? {} : { 'last-event-id': cursor });
  await stream.opened();
  return { events: stream.events, close: () => client.close() };
}

/** Publishes the messages `from` to `to`, over both channels of the stream in turn. */
async function publish(server: TestServer, from: number, to: number): Promise<void> {
  for (const number of range(from, to)) {
    const target = number % 2 === 0 ? { user_id: 'a' } : { task_id: 'b' };
    const body = { type: 'status', service: 's', target, data: { number } };
    const { status } = await request(`${server.url}/sse/api/v1/messages/send`, { body });
    expect(status).toBe(200);
  }
}

function numberOf({ data }: ShownEvent): number | undefined {
  return (JSON.parse(data) as { data?: { number?: number } }).data?.number;
}

const numbersOf = ({ events }: Reader): number[] =>
  events.map(numberOf).filter((number) => number !== undefined);

/** Waits until so many messages were shown; one more would fail the comparison that follows. */
async function shown(reader: Reader, count: number): Promise<void> {
  await waitFor(`${count} messages`, () => numbersOf(reader).length >= count, {
    describe: () => `shown so far: ${numbersOf(reader).join(' ')}`,
  });
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
