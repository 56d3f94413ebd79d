/** Only operators can take profiles, the service keeps running meanwhile, and a profile ends with its client. */
import { readdirSync, readlinkSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, expect, test } from 'vitest';
import { CLOSED_ENV, keyList, keyText, MASTER_KEY } from '../support/access/credentials.ts';
import { type Answer, request } from '../support/http/http.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { TestServer } from '../support/service/server.ts';
import { TestAuthority, tlsEnv } from '../support/tls/certificates.ts';
import { waitFor } from '../support/wait.ts';

const CPU = '/sse/api/v1/profiles/cpu';
const HEAP = '/sse/api/v1/profiles/heap';
const OPERATOR = { 'x-api-key': MASTER_KEY };

interface CpuProfile {
  readonly nodes: readonly { readonly callFrame: { readonly functionName: string; readonly url: string } }[];
  readonly startTime: number;
  readonly endTime: number;
}

let server: TestServer | undefined;
let redis: RedisServer | undefined;
let authority: TestAuthority | undefined;
afterEach(async () => {
  await server?.dispose();
  await redis?.dispose();
  authority?.dispose();
  server = undefined;
  redis = undefined;
  authority = undefined;
});

async function start(
  env: Readonly<Record<string, string>> = {},
  launcher: readonly string[] = [],
): Promise<TestServer> {
  server = await TestServer.start({
    launcher,
    env: {
      ...CLOSED_ENV,
      API_KEYS: keyList([{ name: 'tenant', scopes: ['manage', 'read'], channels: ['kb:tenant1-*'] }]),
      PROFILING: 'true',
      LOG_LEVEL: 'INFO',
      ...env,
    },
  });
  return server;
}

function take(path: string, headers: Readonly<Record<string, string>> = OPERATOR): Promise<Answer> {
  return request(`${server?.url}${path}`, { method: 'POST', headers, timeoutMs: 60_000 });
}

function codeOf({ status, text: body }: Answer): [number, string] {
  return [status, (JSON.parse(body) as { code: string }).code];
}

function heapFiles({ dataDir }: TestServer): string[] {
  return readdirSync(dataDir).filter((file) => file.startsWith('heap'));
}

function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch (error) {
      // It was closed while the files were listed.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  });
}

function secondsOf({ startTime, endTime }: CpuProfile): number {
  return (endTime - startTime) / 1e6;
}

async function takenProfiles(running: TestServer, count: number): Promise<void> {
  const taken = (): number => running.output.split('taking a CPU profile').length - 1;
  await waitFor(`profile ${count}`, () => taken() >= count, { describe: () => running.output });
}

test('a CPU profile names the functions that ran while messages were published', async () => {
  const running = await start();
  let isTaken = false;
  const profile = take(`${CPU}?seconds=1`).finally(() => {
    isTaken = true;
  });
  const body = { type: 'info', service: 'test', target: { user_id: '7' }, data: {} };
  while (!isTaken) {
    const { status } = await request(`${running.url}/sse/api/v1/messages/send`, { body, headers: OPERATOR });
    expect(status).toBe(200);
  }
  const { status, headers, text: json } = await profile;
  expect(status).toBe(200);
  expect(headers['content-type']).toBe('application/json');
  expect(headers['cache-control']).toBe('no-store');
  const name = new RegExp(`^attachment; filename="message-push-pid${running.pid}-[0-9TZ-]+\\.cpuprofile"$`);
  expect(headers['content-disposition']).toMatch(name);
  const found = JSON.parse(json) as CpuProfile;
  const ours = found.nodes.filter(({ callFrame: { functionName, url } }) => {
    return url.includes('/packages/server/dist/publish/') && functionName !== '';
  });
  expect(ours.length).toBeGreaterThan(0);
  expect(secondsOf(found)).toBeGreaterThan(0.9);
});

test('a heap snapshot is whole, and leaves no file behind', async () => {
  const running = await start();
  const { status, headers, text: json } = await take(HEAP);
  expect(status).toBe(200);
  expect(headers['content-disposition']).toMatch(/\.heapsnapshot"$/);
  expect(Number(headers['content-length'])).toBe(Buffer.byteLength(json));
  const { snapshot, nodes, strings } = JSON.parse(json) as {
    snapshot: { node_count: number; meta: { node_fields: string[] } };
    nodes: number[];
    strings: string[];
  };
  expect(nodes).toHaveLength(snapshot.node_count * snapshot.meta.node_fields.length);
  expect(strings).toContain('EmbeddedEngine');
  expect(heapFiles(running)).toEqual([]);
});

test('nobody but an operator takes one, and where it is off there is nothing', async () => {
  const running = await start();
  const listed = async () => (await request(`${running.url}/openapi.json`)).text.includes(CPU);
  for (const path of [CPU, HEAP]) {
    expect(codeOf(await take(path, {}))).toEqual([401, 'unauthorized']);
    expect(codeOf(await take(path, { 'x-api-key': keyText('tenant') }))).toEqual([403, 'forbidden']);
  }
  expect(await listed()).toBe(true);
  await running.stop();
  await running.start({ PROFILING: 'false' });
  for (const path of [CPU, HEAP]) expect(codeOf(await take(path))).toEqual([404, 'not_found']);
  expect(await listed()).toBe(false);
});

test('a time that is not allowed is refused by name', async () => {
  await start();
  for (const [seconds, problem] of [
    ['0', 'must be at least 1'],
    ['61', 'must be at most 60'],
    ['1.5', 'must be an integer'],
    ['x', 'must be an integer'],
  ] as const) {
    const answer = await take(`${CPU}?seconds=${seconds}`);
    expect(codeOf(answer)).toEqual([422, 'validation_failed']);
    const { details } = JSON.parse(answer.text) as { details: { field: string; value: unknown }[] };
    expect(details.map(({ field, value }) => [field, String(value)])).toEqual([['query.seconds', seconds]]);
    expect(answer.text).toContain(problem);
  }
});

test.each(['is cut off', 'closes its side'] as const)(
  'one is taken at a time, until it is over or who asked %s',
  async (goes) => {
    const running = await start();
    const asked = connect({ port: running.port, host: '127.0.0.1', allowHalfOpen: true });
    asked.write(`POST ${CPU}?seconds=60 HTTP/1.1\r\nHost: h\r\nX-API-Key: ${MASTER_KEY}\r\n\r\n`);
    await takenProfiles(running, 1);
    for (const path of [CPU, HEAP]) expect(codeOf(await take(path))).toEqual([409, 'profile_running']);
    if (goes === 'closes its side') {
      // A client that closed only its own side still gets the profile.
      asked.end();
      await new Promise((resolve) => asked.once('data', resolve));
      asked.resume();
    } else asked.resetAndDestroy();
    await waitFor('the end of the profile', async () => (await take(`${CPU}?seconds=1`)).status === 200);
    expect((await take(HEAP)).status).toBe(200);
    expect(running.output).not.toContain('"level":"ERROR"');
    asked.destroy();
  },
);

test('a snapshot that is not read to its end is let go of', async () => {
  const running = await start();
  const asked = connect({ port: running.port, host: '127.0.0.1' });
  asked.write(`POST ${HEAP} HTTP/1.1\r\nHost: h\r\nX-API-Key: ${MASTER_KEY}\r\n\r\n`);
  const openSnapshots = (): string[] => openFiles(running.pid).filter((file) => /heap-snapshot/.test(file));
  await new Promise((resolve) => asked.once('readable', resolve));
  expect(openSnapshots()).toHaveLength(1);
  expect(codeOf(await take(CPU))).toEqual([409, 'profile_running']);
  asked.resetAndDestroy();
  await waitFor('the end of the answer', () => openSnapshots().length === 0);
  expect((await take(`${CPU}?seconds=1`)).status).toBe(200);
  expect(running.output).not.toContain('"level":"ERROR"');
});

test('a snapshot for which there is no room is refused in words, and leaves nothing behind', async () => {
  const running = await start({}, ['prlimit', '--fsize=2000000:unlimited']);
  const answer = await take(HEAP);
  expect(codeOf(answer)).toEqual([503, 'storage_full']);
  expect(answer.text).toContain('EFBIG');
  expect(heapFiles(running)).toEqual([]);
  expect((await take(`${CPU}?seconds=1`)).status).toBe(200);
});

test('a process that stops answers with what was sampled until then', async () => {
  const running = await start();
  const asked = take(`${CPU}?seconds=60`);
  await takenProfiles(running, 1);
  const startedMs = performance.now();
  expect(await running.stop()).toEqual({ code: 0, signal: null });
  expect(performance.now() - startedMs).toBeLessThan(12_000);
  const { status, text: json } = await asked;
  expect(status).toBe(200);
  expect(secondsOf(JSON.parse(json) as CpuProfile)).toBeLessThan(10);
});

test('over HTTP/2 too, where a stream that is closed ends it', async () => {
  authority = new TestAuthority();
  const running = await start(tlsEnv(authority.issue('own')));
  const session = connectHttp2(running.url, { rejectUnauthorized: false });
  const ask = (path: string) => session.request({ ':method': 'POST', ':path': path, ...OPERATOR });
  const left = ask(`${CPU}?seconds=60`);
  left.on('error', () => undefined);
  await takenProfiles(running, 1);
  left.close(8);
  await waitFor('the end of the profile', async () => {
    const body = JSON.parse(await text(ask(`${CPU}?seconds=1`))) as { code?: string; nodes?: unknown[] };
    return body.nodes !== undefined;
  });
  expect(running.output).not.toContain('"level":"ERROR"');
  session.destroy();
});

test('of several processes the one that answers is profiled, and its name says which', async () => {
  redis = await RedisServer.start();
  const running = await start({ ...standaloneEnv(redis), WORKER_THREADS: '2' });
  const { status, headers } = await take(`${CPU}?seconds=1`);
  expect(status).toBe(200);
  const name = /filename="message-push-worker([12])-pid(\d+)-/.exec(headers['content-disposition'] ?? '');
  expect(Number(name?.[2])).not.toBe(running.pid);
  expect(process.kill(Number(name?.[2]), 0)).toBe(true);
});
