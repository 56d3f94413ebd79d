/**
 * One server with its load, from start to end: the part that all scenarios share. Each measurement has a fresh server,
 * and everything is stopped with it.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { endChild, trackDirectory } from '../children.ts';
import { PublishLoad } from '../load/publish-load.ts';
import type { PublishSnapshot } from '../load/publish-worker.ts';
import { StreamLoad, type StreamLoadOptions } from '../load/stream-load.ts';
import type { StreamSnapshot } from '../load/stream-worker.ts';
import { getFreePort } from '../net.ts';
import type { PublishKind } from '../peers/peer.ts';
import { readCpuUs, readSendQueues, readUsage, type ServerUsage } from '../proc.ts';
import type { Context, Integrity } from './scenario.ts';

export const STOP_GRACE_MS = 10_000;
const QUIET_MS = 10_000;
const MAX_CONNECTING = 256;

/** The measurements between two readings. */
export interface Window {
  readonly seconds: number;
  readonly serverCpuUs: number;
  /** CPU time of the server and of the load, as a share of one core. */
  readonly serverBusy: number;
  readonly loadBusy: number;
  readonly deliveries: number;
  readonly published: number;
  readonly lateMs: number;
}

export interface Server {
  readonly process: ChildProcess;
  readonly port: number;
}

type StageContext = Pick<Context, 'peer' | 'settings' | 'pinning' | 'pad'>;

export class Stage {
  readonly #context: StageContext;
  readonly #servers: readonly Server[];
  #streams: StreamLoad | undefined;
  #publishers: PublishLoad | undefined;
  #targets = 0;

  /** Streams and publishers are spread over `servers`. */
  constructor(context: StageContext, servers: readonly Server[]) {
    this.#context = context;
    this.#servers = servers;
  }

  get streams(): StreamLoad {
    if (this.#streams === undefined) throw new Error('no streams are open');
    return this.#streams;
  }

  get publishers(): PublishLoad {
    if (this.#publishers === undefined) throw new Error('no publishers are open');
    return this.#publishers;
  }

  /** Opens streams and publishers; `unicast` and `batch` publishers aim at single streams. */
  async open(kind: PublishKind, overrides: Partial<StreamLoadOptions> = {}): Promise<void> {
    const { peer, settings, pinning } = this.#context;
    const isAimed = kind !== 'broadcast';
    const publishers = isAimed ? Math.min(settings.publishers, settings.streams) : settings.publishers;
    const request = peer.request(kind, this.#context.pad(kind), settings.batchSize);
    if (request === undefined) throw new Error(`${peer.label} has no ${kind}`);
    const address = { host: '127.0.0.1', ports: this.#servers.map(({ port }) => port) };
    const cores = pinning.load;
    this.#targets = isAimed ? settings.streams : 0;
    this.#streams = new StreamLoad(
      {
        ...address,
        path: peer.streamPath(isAimed ? 'unicast' : 'broadcast'),
        count: settings.streams,
        lanes: isAimed ? 1 : publishers,
        maxEventBytes: Math.max(4096, 2 * settings.messageBytes + 2048),
        keepsIds: false,
        maxConnecting: MAX_CONNECTING,
        slow: 0,
        slowReadBytes: settings.slowReadBytes,
        ...overrides,
      },
      { workers: settings.streamWorkers, cores },
    );
    this.#publishers = new PublishLoad(
      {
        ...address,
        request,
        total: publishers,
        targets: this.#targets,
      },
      { workers: settings.publishWorkers, cores },
    );
    await this.#streams.open();
    await this.#publishers.open();
  }

  /** Stops streams and publishers; the server keeps running. */
  async closeLoad(): Promise<void> {
    await Promise.all([this.#streams?.stop(), this.#publishers?.stop()]);
    this.#streams = undefined;
    this.#publishers = undefined;
  }

  usage(): ServerUsage {
    const all = this.#pids.map(readUsage);
    const sum = (field: keyof ServerUsage) => all.reduce((total, one) => total + one[field], 0);
    return { cpuUs: sum('cpuUs'), rssBytes: sum('rssBytes'), pssBytes: sum('pssBytes') };
  }

  cpuUs(): number {
    return this.#pids.reduce((total, pid) => total + readCpuUs(pid), 0);
  }

  /** Reads the bytes in the kernel's buffers for the servers' connections. */
  unsentBytes(): number {
    return this.#servers.reduce((total, { port }) => total + readSendQueues(port), 0);
  }

  async window(ms: number): Promise<Window> {
    const before = await this.#read();
    await sleep(ms);
    const after = await this.#read();
    const wallUs = after.atUs - before.atUs;
    const serverCpuUs = after.cpuUs - before.cpuUs;
    const loadCpuUs = after.streams.cpuUs - before.streams.cpuUs + after.publish.cpuUs - before.publish.cpuUs;
    return {
      seconds: wallUs / 1e6,
      serverCpuUs,
      serverBusy: serverCpuUs / wallUs,
      loadBusy: loadCpuUs / wallUs,
      deliveries: after.streams.messages - before.streams.messages,
      published: after.publish.published - before.publish.published,
      lateMs: after.publish.late - before.publish.late,
    };
  }

  /** Stops publishing, waits until everything has arrived or nothing more arrives, and compares. */
  async finish(): Promise<Integrity & { readonly firstError: string | undefined }> {
    const published = await this.publishers.finish();
    const { failed } = await this.publishers.snapshot();
    const total = (counts: Int32Array) => counts.reduce((sum, n) => sum + n, 0);
    const expected =
      this.#targets > 0
        ? total(published.perStream)
        : total(published.perLane) * this.#context.settings.streams;
    const last = await this.untilReceived(expected);
    const mismatch = await this.streams.compare(
      this.#targets > 0 ? { perStream: published.perStream } : { perLane: published.perLane },
    );
    return {
      expected,
      received: last.messages,
      missing: mismatch.missing,
      repeated: mismatch.repeated,
      gaps: last.gaps,
      brokenStreams: last.broken,
      failedPublishes: failed,
      firstError: published.firstError,
    };
  }

  /** Waits for `expected` messages in total, or until none has arrived for a while. */
  async untilReceived(expected: number): Promise<StreamSnapshot> {
    let last = await this.streams.snapshot();
    let quietMs = 0;
    while (last.messages < expected && quietMs < QUIET_MS) {
      await sleep(100);
      const now = await this.streams.snapshot();
      quietMs = now.messages > last.messages ? 0 : quietMs + 100;
      last = now;
    }
    return last;
  }

  get #pids(): number[] {
    return this.#servers.map(({ process: { pid, exitCode, signalCode } }) => {
      if (pid === undefined || exitCode !== null || signalCode !== null)
        throw new Error('the server has ended');
      return pid;
    });
  }

  async #read(): Promise<{ atUs: number; cpuUs: number; streams: StreamSnapshot; publish: PublishSnapshot }> {
    const [streams, publish] = await Promise.all([this.streams.snapshot(), this.publishers.snapshot()]);
    return { atUs: (streams.atUs + publish.atUs) / 2, cpuUs: this.cpuUs(), streams, publish };
  }
}

/** Runs `use` on a fresh server and its load, and stops everything afterwards, whatever happens. */
export function onStage<T>(context: Context, use: (stage: Stage) => Promise<T>): Promise<T> {
  return onServer({ ...context, maxStreams: context.settings.streams }, (process, port) =>
    withLoad(new Stage(context, [{ process, port }]), use),
  );
}

/** Runs `use` and stops the load afterwards. */
export async function withLoad<T>(stage: Stage, use: (stage: Stage) => Promise<T>): Promise<T> {
  try {
    return await use(stage);
  } finally {
    await stage.closeLoad();
  }
}

type ServerContext = Omit<Context, 'settings' | 'pad'> & { readonly maxStreams: number };

/** Runs `use` on a fresh server with a directory of its own. */
export async function onServer<T>(
  context: ServerContext,
  use: (server: ChildProcess, port: number) => Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(context.directory, `bench-${context.peer.name}-`));
  const removeDirectory = trackDirectory(directory);
  try {
    const port = await getFreePort();
    const server = await context.peer.start({
      port,
      directory,
      cores: context.pinning.server,
      maxStreams: context.maxStreams,
      nodeOptions: context.nodeOptions,
      fileLimit: context.fileLimit,
    });
    try {
      return await use(server, port);
    } finally {
      await endChild(server, STOP_GRACE_MS);
    }
  } finally {
    removeDirectory();
  }
}

/** Notes that a reader needs in order to judge a figure at full load. */
export function loadNotes(window: Window): string[] {
  if (window.serverBusy > 0.9) return [];
  const percent = (share: number) => `${Math.round(share * 100)} %`;
  return [
    `the server was ${percent(window.serverBusy)} busy and the load ${percent(window.loadBusy)}: ` +
      'the rate may be limited by the load or the disk, not by the server',
  ];
}
