/**
 * Every route with every kind of credential. A small model here says what is allowed, and the service must agree in
 * each case, so that nothing is open by mistake and no client is kept out by mistake.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Probe, probe } from '../support/access/access-probe.ts';
import {
  APP_ORIGIN,
  CLOSED_ENV,
  COOKIE,
  keyList,
  keyText,
  MASTER_KEY,
  makeJwt,
  secondsFromNow,
} from '../support/access/credentials.ts';
import { requestJson } from '../support/http/http.ts';
import { TestServer } from '../support/service/server.ts';
import { waitFor } from '../support/wait.ts';

/** The rights of a principal: prefixes of channel names, `''` for all. */
interface Rights {
  readonly who: 'nobody' | 'key' | 'user' | 'ticket';
  readonly publish?: readonly string[];
  readonly broadcast?: boolean;
  readonly read?: readonly string[];
  readonly manage?: readonly string[];
  readonly joins?: readonly string[];
}

interface Shown {
  readonly name: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly query?: string;
  /** The rights of the credential, or the status with which it is refused. */
  readonly gives: number | Rights;
}

interface Route extends Probe {
  readonly name: string;
  readonly isAllowed: (rights: Rights) => boolean;
  /** The status of an allowed request. */
  readonly status?: number;
  /** The route asks for no credential. */
  readonly isOpen?: boolean;
  /** The answer may contain anything that the process has in memory. */
  readonly showsAll?: boolean;
}

const KEYS = [
  { name: 'publisher', scopes: ['publish'], channels: ['kb:tenant1-*'] },
  { name: 'reader', scopes: ['read'], channels: ['kb:tenant1-*'] },
  { name: 'manager', scopes: ['manage'], channels: ['kb:tenant1-*', 'user:*'] },
  { name: 'herald', scopes: ['broadcast'], channels: ['*'] },
  { name: 'watcher', scopes: ['read'], channels: ['*'] },
  {
    name: 'over',
    scopes: ['publish', 'broadcast', 'read', 'manage'],
    channels: ['*'],
    expires_at: '2020-01-01',
  },
];

const NOBODY: Rights = { who: 'nobody' };
const MASTER: Rights = { who: 'key', publish: [''], broadcast: true, read: [''], manage: [''], joins: [''] };
const SEVEN: Rights = { who: 'user', joins: ['user:7', 'task:'] };

const covers = (beginnings: readonly string[] | undefined, channel: string): boolean =>
  beginnings?.some((beginning) => channel.startsWith(beginning)) ?? false;
const mayJoin = (rights: Rights, ...channels: string[]): boolean =>
  channels.every((channel) => covers(rights.joins, channel));
const mayRead = (rights: Rights, channel: string): boolean =>
  covers(rights.joins, channel) || covers(rights.read, channel);

const message = (target: object) => ({ type: 'info', service: 'test', target, data: {} });
const API = '/sse/api/v1';

const ROUTES: readonly Route[] = [
  { name: 'stream of a user', method: 'GET', path: '/sse/user/7', isAllowed: (r) => mayJoin(r, 'user:7') },
  {
    name: 'stream of another user',
    method: 'GET',
    path: '/sse/user/8',
    isAllowed: (r) => mayJoin(r, 'user:8'),
  },
  {
    name: 'stream of a tenant',
    method: 'GET',
    path: '/sse/stream?channels=kb:tenant1-a',
    isAllowed: (r) => mayJoin(r, 'kb:tenant1-a'),
  },
  {
    name: 'stream of one channel that is allowed and one of another tenant',
    method: 'GET',
    path: '/sse/stream?channels=kb:tenant1-a,kb:tenant2-a',
    isAllowed: (r) => mayJoin(r, 'kb:tenant1-a', 'kb:tenant2-a'),
  },
  { name: 'stream of a task', method: 'GET', path: '/sse/task/1', isAllowed: (r) => mayJoin(r, 'task:1') },
  {
    name: 'stream of a service',
    method: 'GET',
    path: '/sse/service/s',
    isAllowed: (r) => mayJoin(r, 'service:s'),
  },
  {
    name: 'stream of a session',
    method: 'GET',
    path: '/sse/user/7?session_id=a',
    isAllowed: (r) => mayJoin(r, 'user:7', 'session:a'),
  },
  {
    name: 'send to a user',
    method: 'POST',
    path: `${API}/messages/send`,
    body: message({ user_id: '7' }),
    isAllowed: (r) => covers(r.publish, 'user:7'),
  },
  {
    name: 'send to a tenant',
    method: 'POST',
    path: `${API}/messages/send`,
    body: message({ kb_id: 'tenant1-a' }),
    isAllowed: (r) => covers(r.publish, 'kb:tenant1-a'),
  },
  {
    name: 'send to a tenant and beyond',
    method: 'POST',
    path: `${API}/messages/send?ack=stored`,
    body: message({ kb_id: 'tenant1-a', user_id: '7' }),
    isAllowed: (r) => covers(r.publish, 'kb:tenant1-a') && covers(r.publish, 'user:7'),
  },
  {
    name: 'broadcast',
    method: 'POST',
    path: `${API}/messages/broadcast`,
    body: { type: 'info', service: 'test', data: {} },
    isAllowed: (r) => r.broadcast === true,
  },
  {
    name: 'batch',
    method: 'POST',
    path: `${API}/messages/batch`,
    body: [message({ kb_id: 'tenant1-a' })],
    isAllowed: (r) => r.publish !== undefined,
  },
  { name: 'connections', method: 'GET', path: `${API}/connections`, isAllowed: (r) => covers(r.read, '') },
  {
    name: 'connections of a user',
    method: 'GET',
    path: `${API}/connections?user_id=7`,
    isAllowed: (r) => covers(r.read, ''),
  },
  { name: 'stats', method: 'GET', path: `${API}/connections/stats`, isAllowed: (r) => covers(r.read, '') },
  {
    name: 'end a stream',
    method: 'DELETE',
    path: `${API}/connections/none`,
    status: 404,
    isAllowed: (r) => covers(r.manage, 'connection:none'),
  },
  {
    name: 'renew a stream',
    method: 'POST',
    path: `${API}/connections/none/renew`,
    status: 404,
    isAllowed: (r) => r.who !== 'nobody',
  },
  { name: 'channels', method: 'GET', path: `${API}/channels`, isAllowed: (r) => covers(r.read, '') },
  {
    name: 'channels of a tenant',
    method: 'GET',
    path: `${API}/channels?prefix=kb:tenant1-`,
    isAllowed: (r) => covers(r.read, 'kb:tenant1-'),
  },
  {
    name: 'history of a user',
    method: 'GET',
    path: `${API}/channels/user%3A7/history`,
    isAllowed: (r) => mayRead(r, 'user:7'),
  },
  {
    name: 'history of a tenant',
    method: 'GET',
    path: `${API}/channels/kb:tenant1-a/history`,
    isAllowed: (r) => mayRead(r, 'kb:tenant1-a'),
  },
  {
    name: 'history of another tenant',
    method: 'HEAD',
    path: `${API}/channels/kb:tenant2-a/history`,
    isAllowed: (r) => mayRead(r, 'kb:tenant2-a'),
  },
  {
    name: 'streams of a channel',
    method: 'GET',
    path: `${API}/channels/task:1/connections`,
    isAllowed: (r) => mayRead(r, 'task:1'),
  },
  {
    name: 'presence',
    method: 'GET',
    path: `${API}/channels/kb:tenant1-a/presence`,
    isAllowed: (r) => mayRead(r, 'kb:tenant1-a'),
  },
  {
    name: 'a ticket for a user',
    method: 'POST',
    path: `${API}/tickets`,
    body: { user_id: '7' },
    isAllowed: (r) => (r.who === 'user' ? covers(r.joins, 'user:7') : covers(r.manage, 'user:7')),
  },
  {
    name: 'a ticket for channels of a tenant',
    method: 'POST',
    path: `${API}/tickets`,
    body: { channels: ['kb:tenant1-*'] },
    isAllowed: (r) => covers(r.manage, 'kb:tenant1-') || (r.who === 'user' && covers(r.joins, 'kb:tenant1-')),
  },
  {
    name: 'a revocation of a user',
    method: 'POST',
    path: `${API}/revocations`,
    body: { user_id: 'somebody' },
    isAllowed: (r) => covers(r.manage, 'user:somebody'),
  },
  {
    name: 'a revocation of a token',
    method: 'POST',
    path: `${API}/revocations`,
    body: { token_id: 'some-token' },
    isAllowed: (r) => covers(r.manage, ''),
  },
  {
    name: 'a CPU profile',
    method: 'POST',
    path: `${API}/profiles/cpu?seconds=1`,
    isAllowed: (r) => covers(r.manage, ''),
  },
  {
    name: 'a heap snapshot',
    method: 'POST',
    path: `${API}/profiles/heap`,
    showsAll: true,
    isAllowed: (r) => covers(r.manage, ''),
  },
  { name: 'a backup', method: 'POST', path: `${API}/backups`, isAllowed: (r) => covers(r.manage, '') },
  ...['/sse/health', '/sse/health/live', '/sse/health/ready', '/', '/docs/', '/redoc', '/openapi.json'].map(
    (path): Route => ({ name: path, method: 'GET', path, isOpen: true, isAllowed: () => true }),
  ),
];

let server: TestServer;
let shown: readonly Shown[];
let logs: string;

beforeAll(async () => {
  logs = mkdtempSync(join(tmpdir(), 'message-push-logs-'));
  server = await TestServer.start({
    env: {
      ...CLOSED_ENV,
      API_KEYS: keyList(KEYS),
      ENABLE_SWAGGER: 'true',
      PROFILING: 'true',
      LOG_LEVEL: 'DEBUG',
      LOG_FILE: join(logs, 'service.log'),
    },
  });
  const ticketFor = async (body: object): Promise<string> => {
    const url = `${server.url}${API}/tickets`;
    return (await requestJson<{ ticket: string }>(url, { body, headers: { 'x-api-key': MASTER_KEY } })).json
      .ticket;
  };
  const seven = makeJwt({ sub: '7', channels: ['task:*'] });
  const ticket = await ticketFor({ user_id: '7', channels: ['task:*'] });
  const bound = await ticketFor({ user_id: '7', channels: ['task:*'], origin: APP_ORIGIN });
  const short = await ticketFor({ user_id: '7', ttl: 1 });
  const bearer = (value: string) => ({ authorization: `Bearer ${value}` });
  const key = (name: string) => ({ 'x-api-key': keyText(name) });
  const ofTicket: Rights = { ...SEVEN, who: 'ticket' };
  shown = [
    { name: 'none', gives: NOBODY },
    { name: 'empty ones', headers: { authorization: '', 'x-api-key': '' }, query: 'ticket=', gives: NOBODY },
    { name: 'the master key', headers: { 'x-api-key': MASTER_KEY }, gives: MASTER },
    { name: 'the master key as bearer', headers: bearer(MASTER_KEY), gives: MASTER },
    {
      name: 'a publisher of a tenant',
      headers: key('publisher'),
      gives: { who: 'key', publish: ['kb:tenant1-'] },
    },
    {
      name: 'a reader of a tenant',
      headers: bearer(keyText('reader')),
      gives: { who: 'key', read: ['kb:tenant1-'], joins: ['kb:tenant1-'] },
    },
    {
      name: 'a manager of a tenant',
      headers: key('manager'),
      gives: { who: 'key', manage: ['kb:tenant1-', 'user:'] },
    },
    { name: 'a herald', headers: key('herald'), gives: { who: 'key', broadcast: true } },
    { name: 'a watcher', headers: key('watcher'), gives: { who: 'key', read: [''], joins: [''] } },
    { name: 'a key that is over', headers: key('over'), gives: 401 },
    { name: 'an unknown key', headers: key('unknown'), gives: 401 },
    {
      name: 'the hash of a key',
      headers: { 'x-api-key': keyList(KEYS).match(/[0-9a-f]{64}/)?.[0] ?? '' },
      gives: 401,
    },
    { name: 'a key under another scheme', headers: { authorization: `Basic ${MASTER_KEY}` }, gives: 401 },
    {
      name: 'a key in the URL',
      query: `api_key=${MASTER_KEY}&access_token=${seven}&token=${seven}`,
      gives: NOBODY,
    },
    { name: 'a key as ticket', query: `ticket=${MASTER_KEY}`, gives: 401 },
    { name: 'a user', headers: bearer(seven), gives: SEVEN },
    {
      name: 'another user',
      headers: bearer(makeJwt({ sub: '8', channels: ['task:*'] })),
      gives: { who: 'user', joins: ['user:8', 'task:'] },
    },
    {
      name: 'a user who calls himself *',
      headers: bearer(makeJwt({ sub: '*' })),
      gives: { who: 'user', joins: ['user:*'] },
    },
    {
      name: 'a token of nobody',
      headers: bearer(makeJwt({ channels: [] })),
      gives: { who: 'user', joins: [] },
    },
    { name: 'a JWT as API key', headers: { 'x-api-key': seven }, gives: 401 },
    {
      name: 'a JWT that has expired',
      headers: bearer(makeJwt({ sub: '7', exp: secondsFromNow(-5) })),
      gives: 401,
    },
    {
      name: 'a JWT that is not valid yet',
      headers: bearer(makeJwt({ sub: '7', nbf: secondsFromNow(3600) })),
      gives: 401,
    },
    { name: 'a JWT for others', headers: bearer(makeJwt({ sub: '7', aud: 'others' })), gives: 401 },
    {
      name: 'a JWT of another issuer',
      headers: bearer(makeJwt({ sub: '7', iss: 'https://evil.example/' })),
      gives: 401,
    },
    {
      name: 'a JWT with another signature',
      headers: bearer(makeJwt({ sub: '7' }, 'another secret')),
      gives: 401,
    },
    { name: 'a JWT in the URL', query: `ticket=${seven}`, gives: 400 },
    { name: 'two credentials', headers: { ...bearer(seven), 'x-api-key': MASTER_KEY }, gives: 400 },
    { name: 'a key that came twice', headers: { 'x-api-key': [keyText('reader'), MASTER_KEY] }, gives: 400 },
    {
      name: 'a cookie on a page of the service',
      headers: { cookie: `a=b; ${COOKIE}=${seven}`, 'sec-fetch-site': 'same-origin' },
      gives: SEVEN,
    },
    {
      name: 'a cookie on a page that is allowed',
      headers: { cookie: `${COOKIE}=${seven}`, origin: APP_ORIGIN, 'sec-fetch-site': 'cross-site' },
      gives: SEVEN,
    },
    {
      name: "a cookie on somebody's page",
      headers: {
        cookie: `${COOKIE}=${seven}`,
        origin: 'https://evil.example',
        'sec-fetch-site': 'cross-site',
      },
      gives: 403,
    },
    { name: 'a cookie of another name', headers: { cookie: `session=${seven}` }, gives: NOBODY },
    { name: 'a ticket', query: `ticket=${ticket}`, gives: ofTicket },
    { name: 'a ticket whose parameter is spelled oddly', query: `%74icket=${ticket}`, gives: ofTicket },
    { name: 'a ticket that came twice', query: `ticket=${ticket}&ticket=${ticket}`, gives: 400 },
    { name: 'a ticket as bearer', headers: bearer(ticket), gives: 401 },
    {
      name: 'a ticket with a letter changed',
      query: `ticket=${ticket.slice(0, 40)}${ticket[40] === 'A' ? 'B' : 'A'}${ticket.slice(41)}`,
      gives: 401,
    },
    {
      name: 'a bound ticket on its page',
      query: `ticket=${bound}`,
      headers: { origin: APP_ORIGIN },
      gives: ofTicket,
    },
    {
      name: "a bound ticket on somebody's page",
      query: `ticket=${bound}`,
      headers: { origin: 'https://evil.example' },
      gives: 401,
    },
    { name: 'a ticket that has expired', query: `ticket=${short}`, gives: 401 },
  ];
  const isOver = async () =>
    (await probe(server.port, { method: 'GET', path: `/sse/user/7?ticket=${short}` })).status;
  await waitFor('the end of a ticket', async () => (await isOver()) === 401);
});
afterAll(async () => {
  await server?.dispose();
  rmSync(logs, { recursive: true, force: true });
});

function withCredential(route: Route, { headers, query }: Shown): Probe {
  const mark = route.path.includes('?') ? '&' : '?';
  return {
    method: route.method,
    path: query === undefined ? route.path : `${route.path}${mark}${query}`,
    body: route.body,
    ...(headers === undefined ? {} : { headers }),
  };
}

function expectedStatus(route: Route, { gives }: Shown): number {
  if (route.isOpen === true) return 200;
  if (typeof gives === 'number') return gives;
  if (route.isAllowed(gives)) return route.status ?? 200;
  return gives.who === 'nobody' ? 401 : 403;
}

describe('whoever asks for', () => {
  test.each(ROUTES)('$name gets what his credential gives, and nothing more', async (route) => {
    const wrong: unknown[] = [];
    for (const credential of shown) {
      const { status, type, headers, text } = await probe(server.port, withCredential(route, credential));
      const expected = expectedStatus(route, credential);
      const isStream = type.startsWith('text/event-stream');
      const isRightKind =
        isStream === (status === 200 && /^\/sse\/(user|stream|task|service)/.test(route.path));
      const saysHow = status !== 401 || headers['www-authenticate'] === 'Bearer';
      if (status !== expected || !isRightKind || !saysHow) {
        wrong.push({ with: credential.name, expected, status, type, text: text.slice(0, 200) });
      }
      if (route.showsAll === true && status === 200) continue;
      // The answer contains no part of the credential.
      for (const value of [MASTER_KEY, 'eyJ']) expect(text).not.toContain(value);
    }
    expect(wrong).toEqual([]);
  });

  test('a route in another spelling finds no way around', async () => {
    const spellings = [
      '/sse/user/%37',
      '/sse/user/7/',
      '//sse/user/7',
      '/sse//user/7',
      '/SSE/user/7',
      '/sse/./user/7',
      '/sse/x/../user/7',
      '/sse/user/7;a',
      '/sse/user/7%2f',
      '/sse/user/7#',
      '/sse/%75ser/7',
      '/docs/../sse/user/7',
      '/docs/%2e%2e/sse/api/v1/connections',
      `${API}/connections/`,
      `${API}//connections`,
      `${API}/%63onnections`,
      `${API}/connections/stats/`,
      `${API}/connections/stats%2f`,
      `${API}/channels/user:7/history/`,
      `${API}/channels/user%253A7/history`,
      '/sse/health/../api/v1/connections',
      '/sse/health/%2e%2e/api/v1/connections',
      '/sse/health;/../api/v1/connections',
    ];
    const statuses: string[] = [];
    for (const path of spellings) {
      for (const method of ['GET', 'HEAD']) {
        const { status, type } = await probe(server.port, { method, path });
        const isRefused = status >= 400 && status < 500 && !type.startsWith('text/event-stream');
        if (!isRefused) statuses.push(`${method} ${path}: ${status} ${type}`);
      }
    }
    expect(statuses).toEqual([]);
  });

  test('many combinations', () => {
    expect(ROUTES.length * shown.length).toBeGreaterThan(1000);
  });
});

test('a batch of several tenants is taken as far as the key reaches', async () => {
  const body = [message({ kb_id: 'tenant1-a' }), message({ kb_id: 'tenant2-a' }), message({ user_id: '7' })];
  const headers = { 'x-api-key': keyText('publisher') };
  const { status, json } = await requestJson<{ results: { success: boolean; code?: string }[] }>(
    `${server.url}${API}/messages/batch`,
    { body, headers },
  );
  expect(status).toBe(200);
  expect(json.results.map(({ success, code }) => [success, code])).toEqual([
    [true, undefined],
    [false, 'forbidden'],
    [false, 'forbidden'],
  ]);
});

test('a body is not waited for when its head says that nobody will take it', async () => {
  const head = {
    method: 'POST',
    path: `${API}/messages/send`,
    headers: { 'content-length': '1000', 'content-type': 'application/json' },
  };
  const { status, headers } = await probe(server.port, head);
  expect([status, headers.connection]).toEqual([401, 'close']);
});

test('nothing that was shown is in the log', () => {
  const log = readFileSync(join(logs, 'service.log'), 'utf8');
  expect(log).toContain('a credential was refused');
  for (const { headers = {}, query = '' } of shown) {
    const values = [...Object.values(headers).flat(), query.replace(/^[^=]*=/, '')];
    for (const value of values) {
      const secret = value.replace(/^(Bearer|Basic) /, '');
      if (secret.length > 24 && !secret.startsWith('http')) expect(log).not.toContain(secret);
    }
  }
});
