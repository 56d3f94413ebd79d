/** The files for the machine itself: systemd unit, logrotate, sysctl. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestPublisher } from '../support/messages/publisher.ts';
import { ROOT } from '../support/repository.ts';
import { TestServer } from '../support/service/server.ts';
import { waitFor } from '../support/wait.ts';

const read = (name: string): string => readFileSync(join(ROOT, name), 'utf8');
const UNIT = 'deploy/systemd/message-push-service.service';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'message-push-files-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the unit of systemd', () => {
  it('is right, and leaves the service little that it does not need', () => {
    const file = join(folder, 'message-push-service.service');
    writeFileSync(file, read(UNIT).replaceAll('/opt/message-push-service', ROOT.replace(/\/$/, '')));
    const verified = spawnSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' });
    expect(`${verified.stdout}${verified.stderr}`).toBe('');
    const { stdout } = spawnSync('systemd-analyze', ['security', '--offline=true', '--no-pager', file], {
      encoding: 'utf8',
    });
    const exposure = /Overall exposure level for [^:]+: ([0-9.]+)/.exec(stdout)?.[1];
    console.log(`systemd-analyze security: exposure ${exposure} of 10`);
    expect(Number(exposure)).toBeLessThanOrEqual(1.5);
  });

  it('waits longer than the service takes to stop', () => {
    const drain = /`DRAIN_TIMEOUT` \|[^|]*\| `(\d+)`/.exec(read('docs/reference/configuration.md'))?.[1];
    const stop = /^TimeoutStopSec=(\d+)$/m.exec(read(UNIT))?.[1];
    expect(Number(stop)).toBeGreaterThan(Number(drain) + 10);
    expect(read('docker-compose.yml')).toContain(`stop_grace_period: ${Number(drain) + 12}s`);
  });
});

it('logrotate empties the log in place, and the service goes on writing it', async () => {
  const logs = join(folder, 'logs');
  mkdirSync(logs);
  const log = join(logs, 'message-push-service.log');
  const config = join(folder, 'logrotate.conf');
  writeFileSync(
    config,
    read('deploy/logrotate/message-push-service').replaceAll('/opt/message-push-service', folder),
    { mode: 0o644 },
  );
  const server = await TestServer.start({ env: { LOG_FILE: log, LOG_ROTATE: 'false', LOG_LEVEL: 'DEBUG' } });
  const publisher = new TestPublisher(server.url);
  try {
    const publish = async (id: string): Promise<void> => {
      await publisher.batch([{ id, type: 'info', service: 'test', target: { channel: 'c' }, data: {} }]);
      await waitFor('the line in the log', () => readFileSync(log, 'utf8').includes(`"messageId":"${id}"`));
    };
    const rotate = (): void => {
      const { status, stderr } = spawnSync(
        'logrotate',
        ['--force', '--state', join(folder, 'state'), config],
        { encoding: 'utf8' },
      );
      expect([status, stderr]).toEqual([0, '']);
    };
    await publish('one');
    rotate();
    expect(readFileSync(`${log}.1`, 'utf8')).toContain('"messageId":"one"');
    await publish('two');
    expect(readFileSync(log, 'utf8')).not.toContain('"messageId":"one"');
    rotate();
    expect(readdirSync(logs).sort()).toEqual(
      ['log', 'log.1', 'log.2.gz'].map((end) => `message-push-service.${end}`),
    );
  } finally {
    publisher.close();
    await server.dispose();
  }
});

it('sysctl knows every setting', () => {
  const lines = read('deploy/sysctl/60-message-push-service.conf')
    .split('\n')
    .filter((line) => /^[^#]/.test(line));
  expect(lines.length).toBeGreaterThan(3);
  for (const line of lines) {
    const [name = '', value = ''] = line.split(' = ');
    expect(value).toMatch(/^\d+( \d+)?$/);
    expect(existsSync(`/proc/sys/${name.replaceAll('.', '/')}`), name).toBe(true);
  }
});
