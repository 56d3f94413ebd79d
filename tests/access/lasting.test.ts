/** Revocations survive restarts, and keys change without one. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { probe } from '../support/access/access-probe.ts';
import { CLOSED_ENV, keyList, keyText, MASTER_KEY, makeJwt } from '../support/access/credentials.ts';
import { request } from '../support/http/http.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor } from '../support/wait.ts';

const API = '/sse/api/v1';
const reader = (name: string) => ({ name, scopes: ['read'], channels: ['*'] });

let server: TestServer;
let folder: string;
let keyFile: string;

/** Replaces the file in one step, as tools that write such files do. */
function writeKeys(names: readonly string[]): void {
  writeFileSync(`${keyFile}.new`, keyList(names.map(reader)));
  renameSync(`${keyFile}.new`, keyFile);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'message-push-keys-'));
  keyFile = join(folder, 'keys.json');
  writeKeys(['old']);
  server = await TestServer.start({ env: { ...CLOSED_ENV, API_KEYS_FILE: keyFile } });
});
afterAll(async () => {
  await server?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const statusOf = async (headers: Readonly<Record<string, string>>): Promise<number> =>
  (await probe(server.port, { method: 'GET', path: '/sse/user/7', headers })).status;

test('a revocation that was answered holds after kill -9', async () => {
  const headers = { authorization: `Bearer ${makeJwt({ sub: '7' })}` };
  expect(await statusOf(headers)).toBe(200);
  const url = `${server.url}${API}/revocations`;
  const { status } = await request(url, { body: { user_id: '7' }, headers: { 'x-api-key': MASTER_KEY } });
  expect([status, await statusOf(headers)]).toEqual([200, 401]);
  await server.kill();
  await server.start();
  expect(await statusOf(headers)).toBe(401);
});

test('keys are exchanged in their file without a restart, and the streams of those taken back end', async () => {
  const headers = { 'x-api-key': keyText('old') };
  const stream = new StreamClient({ port: server.port, path: '/sse/user/8', headers, maxRetryMs: 50 });
  await stream.opened();
  writeKeys(['old', 'new']);
  await waitFor('the new key', async () => (await statusOf({ 'x-api-key': keyText('new') })) === 200);
  expect(stream.ends).toBe(0);
  writeFileSync(keyFile, 'not JSON');
  writeKeys(['new']);
  await waitFor('the end of the old key', () => stream.isFailed);
  stream.close();
  expect(stream.status).toBe(401);
  expect(stream.events.find(({ type }) => type === 'end')?.data).toContain('"revoked"');
});
