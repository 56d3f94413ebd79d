/** The tests' own Redis servers do what the tests of the engine rely on. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { makeCertificates } from '../support/redis/certificates.ts';
import { ClusterSetup } from '../support/redis/cluster-setup.ts';
import { redisCli } from '../support/redis/redis-cli.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { SentinelSetup } from '../support/redis/sentinel-setup.ts';
import { networkProblem, TestNetwork } from '../support/redis/test-network.ts';
import { TestServer } from '../support/service/server.ts';
import { within } from '../support/wait.ts';

const disposals: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const dispose of disposals.splice(0).toReversed()) await dispose();
});

function kept<T extends { dispose(): void | Promise<void> }>(resource: T): T {
  disposals.push(() => resource.dispose());
  return resource;
}

describe('a server', () => {
  it('that stands still answers nothing, and everything when it goes on', async () => {
    const redis = kept(await RedisServer.start());
    redis.freeze();
    const answer = redis.command('INCR', 'n');
    const isAnswered = answer.then(() => true);
    expect(await Promise.race([isAnswered, delay(300, false)])).toBe(false);
    redis.thaw();
    expect(await within('the answer', 5000, answer)).toBe('1');
  });

  it('that is killed has its data again, or none when it was told so', async () => {
    const redis = kept(await RedisServer.start());
    const { pid } = redis;
    await redis.command('SET', 'key', 'kept');
    redis.freeze();
    await redis.restart();
    expect(redis.pid).not.toBe(pid);
    expect(await redis.command('GET', 'key')).toBe('kept');
    await redis.restart({ isEmptied: true });
    expect(await redis.command('GET', 'key')).toBe('');
    await redis.stop();
    expect(redis.isRunning).toBe(false);
    await expect(redis.command('PING')).rejects.toThrow('refused');
  });

  it('asks for a password, for the name of a user, and for TLS with its authority', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'message-push-tls-'));
    disposals.push(() => rmSync(folder, { recursive: true }));
    const tls = makeCertificates(folder);
    const closed = kept(await RedisServer.start({ password: 'secret', tls }));
    const port = String(closed.port);
    expect(await closed.command('PING')).toBe('PONG');
    const anonymous = ['-e', '-p', port, '--tls', '--cacert', tls.ca, 'PING'];
    await expect(redisCli(anonymous)).rejects.toThrow('NOAUTH');
    await expect(redisCli(['-e', '-p', port, '--tls', 'PING'])).rejects.toThrow('certificate');
    await expect(redisCli(['-e', '-p', port, 'PING'])).rejects.toThrow();
    const user = { name: 'service', password: 'secret', rules: '~mps:* &mps:* +@all -@dangerous' };
    const named = kept(
      await RedisServer.start({ user, maxMemory: { limit: '64mb', policy: 'allkeys-lru' } }),
    );
    expect(await named.command('SET', 'mps:a', '1')).toBe('OK');
    await expect(named.command('SET', 'other', '1')).rejects.toThrow('NOPERM');
    await expect(named.command('FLUSHALL')).rejects.toThrow('NOPERM');
    await expect(redisCli(['-e', '-p', String(named.port), 'PING'])).rejects.toThrow('NOAUTH');
    expect(await named.command('MEMORY', 'USAGE', 'mps:a')).toMatch(/^\d+$/);
  });
});

describe('sentinels', () => {
  it('make a replica the master when the master is killed', async () => {
    const setup = kept(await SentinelSetup.start());
    const first = await setup.master();
    await first.command('SET', 'key', 'kept');
    expect(await first.command('WAIT', '2', '5000')).toBe('2');
    const killed = await setup.killMaster();
    expect(killed).toBe(first);
    const master = await setup.failedOver(killed);
    expect(await setup.masterPort()).toBe(master.port);
    expect(await master.command('GET', 'key')).toBe('kept');
    await setup.settled();
  });
});

describe('a cluster', () => {
  it('moves a slot while a key in it can be read, and replaces a master that is killed', async () => {
    const setup = kept(await ClusterSetup.start());
    const slot = await setup.slotOf('{tag}0');
    const from = await setup.masterOf(slot);
    await from.commands(Array.from({ length: 250 }, (_, i) => `SET {tag}${i} value-${i}`));
    const [first, second] = (await setup.masters()).filter((m) => m !== from);
    if (first === undefined || second === undefined) throw new Error('there are too few masters');
    expect(await setup.busySlots(from)).toEqual([slot]);
    let isMoving = true;
    const answers = new Set<string>();
    const read = async (): Promise<void> => {
      while (isMoving) answers.add(await redisCli(['-c', '-e', '-p', String(first.port), 'GET', '{tag}77']));
    };
    const reading = read();
    await setup.moveSlot(slot, first);
    isMoving = false;
    await reading;
    expect([...answers]).toEqual(['value-77']);
    expect(await setup.masterOf(slot)).toBe(first);
    expect(await setup.busySlots(from)).toEqual([]);
    await setup.moveSlots(first, second, 20);
    await setup.settled();
    const killed = await setup.killMaster((await setup.masters()).indexOf(first));
    await setup.settled();
    const heir = await setup.masterOf(slot);
    expect([killed, from, second]).not.toContain(heir);
    expect(await heir.command('GET', '{tag}77')).toBe('value-77');
  });
});

const problem = networkProblem();
describe(`a network${problem === undefined ? '' : ` (${problem})`}`, () => {
  it.skipIf(problem !== undefined)('cuts a host off, and a service on it can still be reached', async () => {
    const network = kept(new TestNetwork());
    const host = network.addHost('m');
    const { address, launcher } = host;
    const redis = kept(await RedisServer.start({ host: address, launcher }));
    const ping = (timeoutMs: number): Promise<string> =>
      redisCli(['-e', '-h', address, '-p', String(redis.port), 'PING'], { timeoutMs });
    expect(await ping(5000)).toBe('PONG');
    network.cut('m');
    await expect(ping(500)).rejects.toThrow('no answer');
    expect(await redis.command('PING'), 'on the host itself').toBe('PONG');
    const server = kept(await TestServer.start({ launcher: host.serviceLauncher }));
    await server.kill();
    expect(await server.readiness()).toBeUndefined();
    await server.start();
    expect(await server.readiness()).toBe(200);
    network.heal('m');
    expect(await ping(5000)).toBe('PONG');
  });
});
