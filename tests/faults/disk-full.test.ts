/**
 * A full disk: publishers are told, readers are not disturbed, and writing resumes by itself. The test mounts a small
 * disk of its own if it may; otherwise the process may write no file beyond a size.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { requestJson } from '../support/http/http.ts';
import { holesOf, readHistory } from '../support/messages/history.ts';
import { type MessageBody, TestPublisher } from '../support/messages/publisher.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor } from '../support/wait.ts';

const FREE_BYTES = 6 * 1024 * 1024;
const BODY_BYTES = 20_000;

interface SmallDisk {
  readonly kind: string;
  readonly dataDir: string;
  readonly launcher: readonly string[];
  makeRoom(pid: number): void;
  dispose(): void;
}

let disk: SmallDisk | undefined;
let server: TestServer | undefined;
let streams: StreamClient[] = [];
afterEach(async () => {
  for (const stream of streams) stream.close();
  streams = [];
  await server?.dispose();
  disk?.dispose();
});

/** A disk of which a file that can be removed takes half. */
function mountDisk(): SmallDisk | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'message-push-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${2 * FREE_BYTES}`, 'tmpfs', folder], {
      stdio: 'ignore',
    });
  } catch {
    // Not root, or not allowed to mount: the limit on file sizes is used instead.
    rmSync(folder, { recursive: true });
    return undefined;
  }
  const filler = join(folder, 'filler');
  writeFileSync(filler, Buffer.alloc(FREE_BYTES));
  const dataDir = join(folder, 'data');
  mkdirSync(dataDir);
  return {
    kind: 'a disk of its own',
    dataDir,
    launcher: [],
    makeRoom: () => rmSync(filler),
    dispose: () => {
      execFileSync('umount', [folder]);
      rmSync(folder, { recursive: true });
    },
  };
}

function limitedFiles(): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), 'message-push-disk-'));
  return {
    kind: 'a limit on the size of files',
    dataDir: join(folder, 'data'),
    launcher: ['prlimit', `--fsize=${FREE_BYTES}:unlimited`],
    makeRoom: (pid) => execFileSync('prlimit', [`--pid=${pid}`, '--fsize=unlimited:unlimited']),
    dispose: () => rmSync(folder, { recursive: true }),
  };
}

const DISKS: Readonly<Record<string, () => SmallDisk | undefined>> = {
  'a full disk': mountDisk,
  'a limit on file sizes': limitedFiles,
};

it.each(Object.keys(DISKS))(
  '%s: publishers get 503, readers go on, writing resumes by itself',
  async (name) => {
    disk = DISKS[name]?.();
    if (disk === undefined) {
      console.log(`disk full: ${name}: this user may not mount a disk; the other way is tested`);
      return;
    }
    const running = await TestServer.start({
      dataDir: disk.dataDir,
      launcher: disk.launcher,
      env: { HEARTBEAT_INTERVAL: '1', STREAM_RETRY_MS: '100' },
    });
    server = running;
    const stream = open(running);
    await stream.opened();
    const publisher = new TestPublisher(running.url);
    const acknowledged: string[] = [];
    let refused:
      | { body: MessageBody; status: number; text: string; retryAfter: string | undefined }
      | undefined;
    for (let n = 0; refused === undefined && n < 2000; n++) {
      const body = message(n);
      const answer = await publisher.send(body);
      if (answer.status === 200) acknowledged.push(body.id ?? '');
      else
        refused = {
          body,
          status: answer.status,
          text: answer.text,
          retryAfter: answer.headers['retry-after'],
        };
    }
    expect(refused?.status).toBe(503);
    expect(JSON.parse(refused?.text ?? '{}')).toMatchObject({
      error: true,
      status_code: 503,
      code: 'storage_full',
    });
    expect(Number(refused?.retryAfter)).toBeGreaterThan(0);

    const health = await requestJson<{ status: string; message_queue: { status: string; reason: string } }>(
      `${running.url}/sse/health`,
    );
    expect(health).toMatchObject({
      status: 200,
      json: { status: 'degraded', message_queue: { status: 'degraded' } },
    });
    expect(health.json.message_queue.reason).toMatch(/not stored/);
    expect(await running.readiness(), 'it still serves streams').toBe(200);
    const full = await readHistory(running.url, 'channel:c');
    expect(full.entries.map((e) => e.message.id)).toEqual(acknowledged);
    const late = open(running, '&since=all');
    await waitFor('history on a new stream', () => idsOf(late).length === acknowledged.length);
    const beats = heartbeats(stream);
    await waitFor('heartbeats', () => heartbeats(stream) >= beats + 2, { timeoutMs: 5000 });
    expect(idsOf(stream)).toEqual(acknowledged);
    // The disk is still full; refused messages are not stored.
    const again = await publisher.send(message(9998));
    expect(again.status).toBe(503);

    disk.makeRoom(running.pid);
    // Sends the same messages with the same ids, as the answer asked for.
    await publisher.batchUntilAcknowledged([refused?.body ?? message(-1), message(9999)]);
    acknowledged.push(refused?.body.id ?? '', 'm9999');
    publisher.close();
    await waitFor('health', async () => {
      const { json } = await requestJson<{ status: string }>(`${running.url}/sse/health`);
      return json.status === 'healthy';
    });
    await waitFor('the new messages', () => idsOf(stream).length >= acknowledged.length);
    expect(idsOf(stream)).toEqual(acknowledged);
    expect(idsOf(late)).toEqual(acknowledged);
    expect([stream.endsByPeer, late.endsByPeer]).toEqual([0, 0]);
    await running.kill();
    await running.start();
    const after = await readHistory(running.url, 'channel:c');
    expect(after.entries.map((e) => e.message.id)).toEqual(acknowledged);
    expect(holesOf(after)).toEqual([]);
    console.log(
      `disk full: ${disk.kind}: ${acknowledged.length} acknowledged and there, 0 streams disturbed`,
    );
  },
);

function open(running: TestServer, query = ''): StreamClient {
  const client = new StreamClient({ port: running.port, path: `/sse/stream?channels=c${query}` });
  streams.push(client);
  return client;
}

function message(n: number): MessageBody {
  const data = { text: 'w'.repeat(BODY_BYTES) };
  return { id: `m${n}`, type: 'info', service: 'test', target: { channel: 'c' }, data };
}

function idsOf(stream: StreamClient): string[] {
  return stream.events.filter((e) => e.type === 'info').map((e) => JSON.parse(e.data).id);
}

function heartbeats(stream: StreamClient): number {
  return stream.events.filter((e) => e.type === 'heartbeat').length;
}
