/**
 * An upgrade under load, behind real nginx: two nodes are replaced one after the other, PM2 reloads its instances,
 * nginx is reloaded, and meanwhile messages are published and thousands of streams are open. Larger by
 * TEST_UPGRADE_STREAMS and TEST_UPGRADE_RATE (messages a second).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { NginxProxy } from '../deploy/nginx-proxy.ts';
import { requestJson } from '../support/http.ts';
import { Pm2 } from '../support/pm2.ts';
import { FLEET_ENV, type Fleet, type FleetRun, runFleet } from '../support/redis/fleet.ts';
import { NOTHING_LOST } from '../support/redis/fleet-judge.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { freePort, TestServer } from '../support/server.ts';
import { ReconnectMeter } from './reconnect-meter.ts';

const STREAMS = Number(process.env['TEST_UPGRADE_STREAMS'] ?? 300);
const RATE = Number(process.env['TEST_UPGRADE_RATE'] ?? 100);
/** So that a message goes to a handful of streams. */
const STREAMS_PER_CHANNEL = 4;
const SECONDS_AROUND = 3;
const PUBLISHERS = 8;
/** For so long deploy.sh looks whether what it has started stays up, before it says that the next one may come. */
const VERIFY_MS = 3000;
const NEXT_VERSION = '99.0.0';
const NAME = 'message-push-service';

let redis: RedisServer;
let nginx: NginxProxy | undefined;
let pm2: Pm2 | undefined;
const nodes: TestServer[] = [];

beforeEach(async () => {
  redis = await RedisServer.start();
});
afterEach(async () => {
  await nginx?.dispose();
  for (const node of nodes.splice(0)) await node.dispose();
  await pm2?.dispose();
  await redis.dispose();
  nginx = undefined;
  pm2 = undefined;
});

/** As in production: how long streams wait, and how long they are sent away, are the defaults. */
function serviceEnv(): Record<string, string> {
  const { MESSAGE_QUEUE_SIZE = '' } = FLEET_ENV;
  return {
    ...standaloneEnv(redis),
    MESSAGE_QUEUE_SIZE,
    MAX_CONNECTIONS: String(2 * STREAMS + 1000),
    TRUST_PROXY: '127.0.0.1',
  };
}

async function startNodes(): Promise<void> {
  nodes.push(...(await Promise.all([0, 1].map(() => TestServer.start({ env: serviceEnv() })))));
}

async function runBehindNginx(
  name: string,
  ports: readonly number[],
  upgrade: () => Promise<void>,
): Promise<{ run: FleetRun; meter: ReconnectMeter }> {
  const proxy = await NginxProxy.start(ports, { isPlain: true });
  nginx = proxy;
  let meter: ReconnectMeter | undefined;
  const run = await runFleet({
    name,
    nodes,
    entrance: { port: proxy.port, url: proxy.url },
    isPatient: true,
    size: {
      messages: 2 * SECONDS_AROUND * RATE,
      channels: Math.ceil(STREAMS / STREAMS_PER_CHANNEL),
      streams: STREAMS,
      publishers: PUBLISHERS,
      messagesPerSecond: RATE,
      batch: 1,
    },
    faults: async (fleet: Fleet) => {
      meter = new ReconnectMeter(fleet.streams);
      await fleet.goesOn(SECONDS_AROUND * RATE);
      await upgrade();
      await fleet.goesOn(SECONDS_AROUND * RATE);
    },
  });
  if (meter === undefined) throw new Error('the upgrade did not begin');
  meter.stop();
  console.log(
    `${name}: ${meter.total} reconnects of ${STREAMS} streams, at most ${meter.worst} in a second; ` +
      `${run.retries} of ${run.verdict.acknowledged} publishes sent again, ${run.refusals} of them refused`,
  );
  return { run, meter };
}

function expectNothingLost({ run, meter }: { run: FleetRun; meter: ReconnectMeter }): void {
  expect([run.verdict, run.explanation]).toEqual([
    expect.objectContaining({ ...NOTHING_LOST, gapEvents: 0, shownAgain: 0 }),
    expect.anything(),
  ]);
  expect(run.isSettled).toBe(true);
  expect(run.refusals).toBe(0);
  expect(run.streams.filter(({ client }) => client.isFailed)).toEqual([]);
  expect(meter.worst).toBeLessThanOrEqual(STREAMS / 10);
}

const hops = ({ run }: { run: FleetRun }): number => Math.max(...run.streams.map((s) => s.client.opens - 1));

it('two nodes are replaced one after the other: nothing is lost, and every stream moves at most once for each', async () => {
  await startNodes();
  const outcome = await runBehindNginx(
    'rolling restart',
    nodes.map((node) => node.port),
    async () => {
      for (const node of nodes) {
        expect(await node.stop()).toEqual({ code: 0, signal: null });
        await node.start({ SERVICE_VERSION: NEXT_VERSION });
        await delay(VERIFY_MS);
      }
    },
  );
  expectNothingLost(outcome);
  expect(outcome.run.retries).toBe(0);
  expect(hops(outcome)).toBeLessThanOrEqual(nodes.length);
  for (const node of nodes) {
    const { json } = await requestJson<{ version: string }>(`${node.url}/sse/health`);
    expect(json.version).toBe(NEXT_VERSION);
  }
});

it('PM2 reloads its two instances: nothing is lost, and streams move no more than once for each', async () => {
  const own = new Pm2();
  pm2 = own;
  const port = await freePort();
  const env = { ...serviceEnv(), SERVICE_PORT: String(port), ENABLE_METRICS: 'false' };
  await own.start({ name: NAME, instances: 2, env });
  const before = await own.processes();
  const outcome = await runBehindNginx('pm2 reload', [port], () => own.reload(NAME));
  expectNothingLost(outcome);
  expect(outcome.run.retries).toBe(0);
  // nginx knows one address: what it sends to a leaving instance, on a connection that it has kept, comes back later.
  expect(outcome.meter.total).toBeLessThanOrEqual(STREAMS * before.length);
  const after = await own.processes();
  expect(after.map((p) => p.pm2_env.status)).toEqual(['online', 'online']);
  expect(after.filter(({ pid }) => before.some((old) => old.pid === pid))).toEqual([]);
  expect(own.daemonLog().match(/exited with code \[(?!0\])/g)).toBeNull();
});

it('nginx is reloaded: nothing is lost, no stream moves, and a publisher loses one connection at most', async () => {
  await startNodes();
  const outcome = await runBehindNginx(
    'nginx reload',
    nodes.map((node) => node.port),
    async () => nginx?.reload(),
  );
  expectNothingLost(outcome);
  expect(outcome.meter.total).toBe(0);
  // An old worker closes what is idle. A request that is on its way then is lost, before nginx has read it.
  expect(outcome.run.retries).toBeLessThanOrEqual(PUBLISHERS);
});
