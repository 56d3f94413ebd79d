/** start.sh, status.sh and stop.sh with real processes: they find what is ours and leave the rest alone. */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { scratchMachineProblem } from '../support/deploy/scratch-machine.ts';
import { ScratchService } from '../support/deploy/scratch-service.ts';
import { ROOT } from '../support/repository.ts';

const problem = scratchMachineProblem();
if (problem !== undefined) console.warn(problem);

const PID_FILE = 'run/message-push-service.pid';
/** Something else that listens on the service's port, in the background. */
const OCCUPY = `setsid scripts/with-node.sh -e "require('http').createServer((q, a) => a.end()).listen(8089)" >/dev/null 2>&1 </dev/null &
  until (exec 3<>/dev/tcp/127.0.0.1/8089) 2>/dev/null; do sleep 0.05; done`;

describe.skipIf(problem !== undefined)('the operators’ scripts', () => {
  let service: ScratchService;
  beforeAll(() => {
    service = new ScratchService();
  });
  beforeEach(() => service.boot());
  afterEach(() => service.shutDown());
  afterAll(() => service.dispose());

  const file = (name: string): string => join(service.root, name);

  it('say how they are used, in both languages, and refuse what they do not know', async () => {
    for (const script of ['start', 'stop', 'status', 'deploy']) {
      expect(await service.succeed(`scripts/${script}.sh --help`)).toMatch(/^Usage: /);
      const chinese = await service.succeed(`scripts/${script}.sh --help`, { env: { LANG: 'zh_CN.UTF-8' } });
      expect(chinese).toMatch(/^用法：/);
      const { status, output } = await service.run(`scripts/${script}.sh --wrong`);
      expect([status, output]).toEqual([2, expect.stringContaining('unknown option --wrong')]);
    }
  });

  it('start it in the foreground, say how it is, and stop it in order', async () => {
    expect((await service.run('scripts/status.sh')).status).toBe(3);
    await service.serve('scripts/start.sh --development');
    const report = await service.status();
    expect(report).toMatchObject({ status: 'healthy', runner: 'process', environment: 'development' });
    expect(report.processes.map((p) => p.pid)).toEqual([
      Number(readFileSync(file(PID_FILE), 'utf8').split('\n')[0]),
    ]);
    expect(await service.succeed('scripts/status.sh --health')).toBe('healthy\n');
    expect(await service.succeed('scripts/status.sh')).toMatch(
      /^Service +healthy[\s\S]*^Streams +0\/1000[\s\S]*^Engine +embedded[\s\S]*^Disk +data/m,
    );
    const chinese = await service.succeed('scripts/status.sh', { env: { LC_ALL: 'zh_CN.UTF-8' } });
    expect(chinese).toMatch(/^服务 +健康/m);
    expect(chinese).not.toContain('请修正配置');
    expect(await service.succeed('scripts/status.sh --logs')).toContain('"message":"ready: ');

    // A second start says which process has the port.
    const second = await service.run('scripts/start.sh --development');
    expect(second.status).toBe(1);
    expect(second.output).toMatch(/Port 8089 \(SERVICE_PORT\) is taken by .*main\.js \(pid \d+\)/);

    expect(await service.succeed('scripts/stop.sh')).toMatch(
      /^Stopping \(process, pid \d+\) …\nStopped\.\n$/,
    );
    expect(readFileSync(file('logs/message-push-service.log'), 'utf8')).toContain('"message":"stopped"');
    expect(existsSync(file(PID_FILE))).toBe(false);
    expect(await service.succeed('scripts/stop.sh')).toContain('The service is not running.');
    expect((await service.status()).status).toBe('not running');
  });

  it('find a service that was started without them, by its port', async () => {
    await service.serve('npm start');
    expect(existsSync(file(PID_FILE))).toBe(false);
    expect((await service.status()).runner).toBe('process');
    expect(await service.succeed('scripts/stop.sh')).toContain('Stopped.');
  });

  it('kill a service that does not end by itself only when they are forced to', async () => {
    writeFileSync(file('config/development.env'), 'DRAIN_TIMEOUT=1\n');
    await service.serve('scripts/start.sh --development');
    // A stopped process reacts to no signal but SIGKILL; only its port shows that it is there.
    await service.succeed(`kill -STOP $(head -n 1 ${PID_FILE})`);
    const asked = await service.run('scripts/stop.sh');
    expect(asked).toMatchObject({ status: 1, output: expect.stringContaining('Use --force') });
    expect(await service.succeed('scripts/stop.sh --force')).toContain('Stopped.');
    expect((await service.status()).status).toBe('not running');
  });

  it('name who has the port, and leave a stranger alone', async () => {
    await service.succeed(OCCUPY);
    const started = await service.run('scripts/start.sh --development');
    expect(started.status).toBe(1);
    expect(started.output).toMatch(/Port 8089 \(SERVICE_PORT\) is taken by .*createServer.* \(pid \d+\)/);
    expect((await service.status()).next_steps.join()).toMatch(/Port 8089 is taken by .*createServer/);
    const stopped = await service.succeed('scripts/stop.sh --force');
    expect(stopped).toMatch(
      /The service is not running\.\nPort 8089 is taken by another program.*createServer/,
    );
    await service.succeed('exec 3<>/dev/tcp/127.0.0.1/8089');
  });

  it('believe no pid file whose process is another one, or one of later', async () => {
    // The pid file names another program that is alive, with the correct start time.
    const stranger = `setsid sleep 1000 </dev/null >/dev/null 2>&1 & mkdir -p run
      printf '%s\\n%s\\n' $! "$(sed 's/.*) //' /proc/$!/stat | cut -d ' ' -f 20)" >${PID_FILE}; echo $!`;
    const pid = (await service.succeed(stranger)).trim();
    expect(await service.succeed('scripts/stop.sh --force')).toContain('The service is not running.');
    await service.succeed(`kill -0 ${pid}`);

    // The pid file names our own pid with another start time, as if the pid had been reused.
    await service.serve('scripts/start.sh --development');
    const own = readFileSync(file(PID_FILE), 'utf8');
    writeFileSync(file(PID_FILE), own.replace(/\n\d+\n/, '\n1\n'));
    const elsewhere = { env: { SERVICE_PORT: '8090' } };
    expect(await service.succeed('scripts/stop.sh --force', elsewhere)).toContain(
      'The service is not running.',
    );
    writeFileSync(file(PID_FILE), 'no pid\n');
    expect(await service.succeed('scripts/stop.sh --force', elsewhere)).toContain(
      'The service is not running.',
    );
    await service.succeed('scripts/status.sh --health');
    writeFileSync(file(PID_FILE), own);
    expect(await service.succeed('scripts/stop.sh', elsewhere)).toContain('Stopped.');
  });

  it('delete logs and messages only when told to, and nothing that lies beside them', async () => {
    const kept = 'data/theirs.db';
    const ours = ['data/messages.db', 'logs/message-push-service.log'];
    const areThere = (): boolean[] => ours.map((name) => existsSync(file(name)));
    await service.serve('scripts/start.sh --development');
    writeFileSync(file(kept), 'not ours');
    // Without input, then with a no: the service is stopped and everything is kept.
    expect(await service.succeed('scripts/stop.sh --clean')).toMatch(/Stopped\.[\s\S]*\[y\/N\][\s\S]*Kept\./);
    expect(await service.succeed('scripts/stop.sh --clean', { input: 'n\nn\n' })).toContain('Kept.');
    expect(areThere()).toEqual([true, true]);
    // A store that another process has open is kept.
    const held = await service.succeed('exec 9<data/messages.db; scripts/stop.sh --clean --yes');
    expect(held).toContain('data/messages.db is in use by another process and was kept.');
    expect(areThere()).toEqual([true, false]);
    expect(await service.succeed('scripts/stop.sh --clean', { input: 'y\n' })).toContain('data/messages.db');
    expect(areThere()).toEqual([false, false]);
    expect(readFileSync(file(kept), 'utf8')).toBe('not ours');
  });

  it('stop and show a service whose configuration has become wrong', async () => {
    await service.serve('scripts/start.sh --development');
    writeFileSync(file('config/development.env'), 'MAX_CONNECTIONS=many\n');
    const { status, output } = await service.run('scripts/status.sh');
    expect(status).toBe(0);
    expect(output).toMatch(/healthy[\s\S]*Correct the configuration:[\s\S]*MAX_CONNECTIONS=many/);
    expect(await service.succeed('scripts/stop.sh')).toContain('Stopped.');
  });
});

it('shellcheck finds nothing in the scripts', () => {
  const scripts = globSync('{scripts/*.sh,.ci/run}', { cwd: ROOT });
  expect(scripts.length).toBeGreaterThan(5);
  const { stdout, stderr } = spawnSync('shellcheck', ['-x', '-a', ...scripts], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  expect(`${stdout}${stderr}`).toBe('');
});
