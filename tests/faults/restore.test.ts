/** A backup is made while messages are published, then restored after a crash; streams of every age resume. */
import { execFile } from 'node:child_process';
import { copyFileSync, readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { requestJson } from '../support/http/http.ts';
import { holesOf, readHistory } from '../support/messages/history.ts';
import { TestPublisher } from '../support/messages/publisher.ts';
import { SERVER_ENTRY, serverEnv, TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor } from '../support/wait.ts';

const PREFILLED = 4000;
const AFTERWARDS = 300;
const TEXT = 'x'.repeat(2000);

let server: TestServer;
const clients: StreamClient[] = [];
beforeAll(async () => {
  server = await TestServer.start({ env: { STREAM_RETRY_MS: '100', MESSAGE_QUEUE_SIZE: '1000000' } });
});
afterAll(async () => {
  for (const client of clients) client.close();
  await server.dispose();
});

interface Stream {
  readonly client: StreamClient;
  /** Ids of messages and a word for each gap, in the order of their arrival. */
  readonly seen: string[];
}

function openStream(channel: string): Stream {
  const seen: string[] = [];
  const client = new StreamClient({
    port: server.port,
    path: `/sse/stream?channels=${channel}`,
    onEvent: (type, data) => {
      if (type === 'gap') {
        const { channels } = JSON.parse(data).data as { channels: { reason: string }[] };
        seen.push(`gap: ${channels.map(({ reason }) => reason).join()}`);
      } else if (type === 'info') seen.push(JSON.parse(data).id);
    },
  });
  clients.push(client);
  return { client, seen };
}

const ids = (kind: string, from: number, to: number): string[] =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => `${kind}-${from + i}`);
const messages = (channel: string, of: readonly string[]) =>
  of.map((id) => ({ id, type: 'info', service: 'test', target: { channel }, data: { text: TEXT } }));

async function restore(file: string): Promise<{ code: number; text: string }> {
  const command = join(dirname(SERVER_ENTRY), 'restore-command.js');
  const env = serverEnv(server.folder, { DATA_DIR: server.dataDir });
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [command, file], { env, timeout: 60_000 });
    return { code: 0, text: stdout };
  } catch (error) {
    const { code, stderr } = error as { code: number; stderr: string };
    return { code, text: stderr };
  }
}

it('a backup put back loses nothing that it has, and each stream is told once of what it has not', async () => {
  const publisher = new TestPublisher(server.url);
  let acknowledged = 0;
  const publishTo = async (channel: string, of: readonly string[]): Promise<void> => {
    for (let i = 0; i < of.length; i += 500) {
      await publisher.batchUntilAcknowledged(messages(channel, of.slice(i, i + 500)));
    }
  };
  await publishTo('quiet', ids('quiet', 1, 5));
  const quiet = openStream('quiet');
  const early = openStream('busy');
  const sleeper = openStream('busy');
  for (const { client } of [quiet, early, sleeper]) await client.opened();
  await publishTo('quiet', ids('quiet', 6, 10));
  await publishTo('busy', ids('busy', 1, 100));
  await waitFor('the first messages', () => early.seen.length >= 100 && sleeper.seen.length >= 100);
  await waitFor('the quiet messages', () => quiet.seen.length >= 5);
  for (const { client } of [quiet, early, sleeper]) client.holdOff();
  await publishTo('quiet', ids('quiet', 11, 20));
  await publishTo('busy', ids('busy', 101, PREFILLED));
  acknowledged = PREFILLED;

  const late = openStream('busy');
  await late.client.opened();
  let isOver = false;
  const publishing = (async () => {
    while (!isOver) {
      await publishTo('busy', ids('busy', acknowledged + 1, acknowledged + 3));
      acknowledged += 3;
    }
  })();
  const backUp = () =>
    requestJson<{ path: string; bytes: number; code?: string }>(`${server.url}/sse/api/v1/backups`, {
      method: 'POST',
    });
  const before = acknowledged;
  const answers = await Promise.all([backUp(), backUp()]);
  const during = acknowledged - before;
  const backup = answers.find(({ status }) => status === 200)?.json;
  if (backup === undefined) throw new Error('no backup was made');
  expect(answers.find(({ status }) => status === 409)?.json.code).toBe('backup_under_way');
  expect(during).toBeGreaterThan(0);
  expect(statSync(backup.path)).toMatchObject({ size: backup.bytes });
  expect(statSync(backup.path).mode & 0o777).toBe(0o600);

  const wanted = acknowledged + 100;
  await waitFor('messages after the backup', () => acknowledged >= wanted);
  isOver = true;
  await publishing;
  await waitFor('all of them on the late stream', () => late.seen.length >= acknowledged - PREFILLED);
  late.client.holdOff();

  expect(await restore(backup.path)).toMatchObject({
    code: 1,
    text: expect.stringContaining('stop it first'),
  });
  await server.kill();
  const truncated = join(server.folder, 'truncated.db');
  copyFileSync(backup.path, truncated);
  truncateSync(truncated, Math.floor(backup.bytes / 2));
  const foreign = join(server.folder, 'foreign.db');
  writeFileSync(foreign, 'not a store '.repeat(1000));
  for (const file of [truncated, foreign]) {
    expect(await restore(file)).toMatchObject({ code: 1, text: expect.stringContaining('is damaged') });
  }
  expect(await restore(backup.path)).toMatchObject({
    code: 0,
    text: expect.stringContaining('messages of the previous store: 1.'),
  });
  expect(readdirSync(server.dataDir).filter((name) => name.startsWith('messages.db.replaced-'))).toHaveLength(
    1,
  );

  await server.start();
  const history = await readHistory(server.url, 'busy');
  const kept = history.lastOffset;
  expect(holesOf(history)).toEqual([]);
  expect(history.entries.map(({ message }) => message.id)).toEqual(ids('busy', 1, kept));
  expect(kept).toBeGreaterThanOrEqual(before);
  expect(kept).toBeLessThan(acknowledged);

  // Past the offsets of the old epoch, where a cursor of that epoch could be mistaken for one of the new.
  const anew = ids('new', 1, acknowledged - kept + AFTERWARDS);
  await publishTo('busy', anew);
  for (const { client } of [quiet, early, late]) client.comeBack();
  await publishTo('quiet', ['quiet-21']);
  await waitFor('the last message', () =>
    [early, late].every(({ seen }) => seen.includes(anew.at(-1) ?? '')),
  );
  await waitFor('the last quiet message', () => quiet.seen.includes('quiet-21'));
  expect(quiet.seen, 'nothing was lost for it').toEqual(ids('quiet', 6, 21));
  expect(late.seen).toEqual([...ids('busy', PREFILLED + 1, acknowledged), 'gap: rolled_back', ...anew]);
  const whole = [...ids('busy', 1, kept), 'gap: rolled_back', ...anew];
  expect(early.seen).toEqual(whole);

  await server.kill();
  await server.start();
  sleeper.client.comeBack();
  await publishTo('busy', ['end']);
  await waitFor('the end', () => [early, late, sleeper].every(({ seen }) => seen.at(-1) === 'end'));
  expect(sleeper.seen).toEqual([...whole, 'end']);
  expect(early.seen).toEqual([...whole, 'end']);
  publisher.close();
  console.log(
    `restore: ${backup.bytes} bytes copied, ${during} messages acknowledged meanwhile; ${kept} kept, ${acknowledged - kept} lost`,
  );
});
