/**
 * Upgrades under load, behind a real nginx: two nodes are replaced one after the other, by signals and by deploy.sh,
 * PM2 reloads its instances, and nginx is reloaded, while messages are published and many streams are open.
 * TEST_UPGRADE_STREAMS and TEST_UPGRADE_RATE (messages per second) set the load.
 */
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { scratchMachineProblem } from '../support/deploy/scratch-machine.ts';
import { ScratchService } from '../support/deploy/scratch-service.ts';
import { requestJson } from '../support/http/http.ts';
import { ShippedProxy } from '../support/nginx/shipped-proxy.ts';
import { freePort } from '../support/ports.ts';
import { FLEET_ENV, type Fleet, type FleetRun, runFleet } from '../support/redis/fleet.ts';
import { NOTHING_LOST } from '../support/redis/fleet-judge.ts';
import { ReconnectMeter } from '../support/redis/reconnect-meter.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { atScale, numberFromEnv } from '../support/scale.ts';
import { Pm2 } from '../support/service/pm2.ts';
import { TestServer } from '../support/service/server.ts';

const STREAMS = numberFromEnv('TEST_UPGRADE_STREAMS', atScale(300, 100));
const RATE = numberFromEnv('TEST_UPGRADE_RATE', atScale(100, 50));
/** A message goes to a handful of streams. */
const STREAMS_PER_CHANNEL = 4;
const SECONDS_AROUND = 3;
const PUBLISHERS = 8;
/** Pause before the next node is replaced, as long as deploy.sh watches whether a new version stays up. */
const VERIFY_MS = 3000;
const DEPLOY = 'scripts/deploy.sh --env production --pm2';
const DEPLOY_TIMEOUT_MS = 180_000;
const NEXT_VERSION = '99.0.0';
const NAME = 'message-push-service';

let redis: RedisServer;
let nginx: ShippedProxy | undefined;
let pm2: Pm2 | undefined;
const nodes: TestServer[] = [];
const installations: ScratchService[] = [];

beforeEach(async () => {
  redis = await RedisServer.start();
});
afterEach(async () => {
  await nginx?.dispose();
  for (const node of nodes.splice(0)) await node.dispose();
  for (const installation of installations.splice(0)) await installation.dispose();
  await pm2?.dispose();
  await redis.dispose();
  nginx = undefined;
  pm2 = undefined;
});

/** Settings as in production: the retry delays of streams are the defaults. */
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

/** Deploys a separate checkout with a separate PM2 on this machine's network. */
async function install(port: number): Promise<ScratchService> {
  const installation = new ScratchService();
  installations.push(installation);
  await installation.boot({ hasOwnNetwork: false });
  configure(installation, port, {});
  await installation.succeed(DEPLOY, { timeoutMs: DEPLOY_TIMEOUT_MS });
  return installation;
}

function configure({ root }: ScratchService, port: number, more: Readonly<Record<string, string>>): void {
  const settings = {
    ...serviceEnv(),
    SERVICE_HOST: '127.0.0.1',
    SERVICE_PORT: String(port),
    ENABLE_METRICS: 'false',
    ALLOW_ANONYMOUS: 'true',
    ...more,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(join(root, 'config/production.env'), lines.join(''));
}

async function runBehindNginx(
  name: string,
  ports: readonly number[],
  upgrade: () => Promise<void>,
): Promise<{ run: FleetRun; meter: ReconnectMeter }> {
  const proxy = await ShippedProxy.start(ports, { isPlain: true });
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

const cannotDeploy = scratchMachineProblem() !== undefined;

it.skipIf(cannotDeploy)('deploy.sh puts a new version on two machines: nothing is lost', async () => {
  const ports = [await freePort(), await freePort()] as const;
  const machines = [await install(ports[0]), await install(ports[1])];
  const outcome = await runBehindNginx('deploy.sh', ports, async () => {
    for (const [i, machine] of machines.entries()) {
      configure(machine, ports[i] as number, { SERVICE_VERSION: NEXT_VERSION });
      appendFileSync(join(machine.root, 'packages/server/src/main.ts'), '\nexport {};\n');
      expect(await machine.succeed(DEPLOY, { timeoutMs: DEPLOY_TIMEOUT_MS })).toContain('== Deployed');
    }
  });
  expectNothingLost(outcome);
  expect(outcome.run.retries).toBe(0);
  expect(outcome.meter.total).toBeLessThanOrEqual(STREAMS * machines.length);
  for (const port of ports) {
    const { json } = await requestJson<{ version: string }>(`http://127.0.0.1:${port}/sse/health`);
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
  // nginx knows one address: a stream that it sends to a leaving instance, on a kept connection, reconnects once more.
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
  // An old worker closes idle connections. A request that arrives at that moment is lost before nginx has read it.
  expect(outcome.run.retries).toBeLessThanOrEqual(PUBLISHERS);
});
