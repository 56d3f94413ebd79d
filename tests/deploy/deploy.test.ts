/** deploy.sh checks, tries, switches, verifies and rolls back. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { scratchMachineProblem } from '../support/deploy/scratch-machine.ts';
import { ScratchService } from '../support/deploy/scratch-service.ts';

const DEPLOY = 'scripts/deploy.sh --env production --pm2';
const MAIN = 'packages/server/src/main.ts';
/** Lists every file outside of node_modules with its time and size. */
const LIST = `find . /etc -name node_modules -prune -o -type f -printf '%p %T@ %s\\n' | sort`;

describe.skipIf(scratchMachineProblem() !== undefined)('deploy.sh', () => {
  let service: ScratchService;
  let original: string;
  beforeAll(() => {
    service = new ScratchService();
    original = readFileSync(join(service.root, MAIN), 'utf8');
  });
  beforeEach(async () => {
    await service.boot();
    const lines = [
      'ALLOWED_ORIGINS=https://app.example.com',
      'ALLOW_ANONYMOUS=true',
      'TRUST_PROXY=127.0.0.1',
      '',
    ];
    writeFileSync(join(service.root, 'config/production.env'), lines.join('\n'));
    writeFileSync(join(service.root, MAIN), original);
  });
  afterEach(() => service.shutDown());
  afterAll(() => service.dispose());

  const changeMain = (line: string): void => writeFileSync(join(service.root, MAIN), `${line}\n${original}`);

  /** Puts a program of that name before all others in `PATH`; returns the environment that has it. */
  function standIn(name: string, script: string): Readonly<Record<string, string>> {
    const folder = join(service.machine.folder, 'bin');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, name), `#!/usr/bin/env bash\n${script}`);
    chmodSync(join(folder, name), 0o755);
    return { PATH: `${folder}:${service.path}` };
  }

  it('a dry run shows what would be done and changes nothing', async () => {
    const before = await service.succeed(LIST);
    const output = await service.succeed(`${DEPLOY} --with-nginx --dry-run`);
    expect(output).toMatch(
      /tsc -b[\s\S]*try-build[\s\S]*pm2 startOrReload[\s\S]*nginx\.conf[\s\S]*Nothing was changed/,
    );
    expect(await service.succeed(LIST)).toBe(before);
    expect((await service.run(`${DEPLOY} --env staging`)).output).toContain("not 'staging'");
  });

  it('a version that fails at any stage is undone, and the good one goes on or comes back', async () => {
    expect(await service.succeed(DEPLOY)).toContain('== Deployed: http://127.0.0.1:8089');
    expect(await service.succeed('cat /etc/logrotate.d/message-push-service')).toContain(
      `${service.root}/logs/`,
    );
    const good = await service.status();
    const pids = good.processes.map((p) => p.pid);
    const dist = readFileSync(join(service.root, 'packages/server/dist/main.js'), 'utf8');

    // One version does not compile, one does not start. The running one is not touched.
    for (const line of [
      'const broken: number = "";',
      'if (Date.now() > 0) throw new Error("broken at the start");',
    ]) {
      changeMain(line);
      const { status, output } = await service.run(DEPLOY);
      expect([status, output]).toEqual([1, expect.stringContaining('the running service was not touched')]);
      expect((await service.status()).processes.map((p) => p.pid)).toEqual(pids);
      expect(readFileSync(join(service.root, 'packages/server/dist/main.js'), 'utf8')).toBe(dist);
    }

    // This version starts when it is tried and fails once it is deployed.
    changeMain('if (process.env["pm_id"] !== undefined) throw new Error("broken in its place");');
    const { status, output } = await service.run(DEPLOY);
    expect([status, output]).toEqual([1, expect.stringContaining('The last good version is running again.')]);
    expect(await service.succeed('scripts/status.sh --health')).toBe('healthy\n');

    // A good new version is built again and takes over.
    changeMain('if (process.env["pm_id"] !== undefined) process.stdout.write("{}\\n");');
    expect(await service.succeed(DEPLOY)).toContain('== Deployed');
    expect(readFileSync(join(service.root, 'logs/message-push-service.log'), 'utf8')).toContain('\n{}\n');
  });

  it('who has no configuration gets one that is closed to strangers', async () => {
    const file = join(service.root, 'config/production.env');
    await service.succeed(`rm ${file}`);
    const output = await service.succeed(DEPLOY);
    expect(output).toContain('config/production.env was created from its example');
    expect(existsSync(file)).toBe(true);
    expect(await service.succeed(`stat -c %a ${file}`)).toBe('600\n');
    const key = /^API_KEY=(.{40,})$/m.exec(readFileSync(file, 'utf8'))?.[1];
    const publish = (header: string): Promise<string> =>
      service.succeed(
        `curl -m 5 -s -o /dev/null -w '%{http_code}' localhost:8089/sse/api/v1/messages/send ${header} \
          --json '{"type":"info","service":"s","target":{"channel":"c"},"data":{}}'`,
      );
    expect(await publish('')).toBe('401');
    expect(await publish(`-H 'X-API-Key: ${key}'`)).toBe('200');
  });

  it('nginx is put in front with a certificate, and its old configuration is kept', async () => {
    const before = await service.succeed('cat /etc/nginx/nginx.conf');
    expect(await service.succeed(`${DEPLOY} --with-nginx`)).toContain('== Deployed');
    expect(await service.succeed('curl -m 5 -sk https://localhost/sse/health')).toContain(
      '"status":"healthy"',
    );
    expect(
      await service.succeed('curl -m 5 -s -o /dev/null -w "%{http_code} %{redirect_url}" http://localhost/x'),
    ).toBe('301 https://localhost/x');
    const [backup = ''] = readdirSync(join(service.root, 'run/backup'));
    expect(readFileSync(join(service.root, 'run/backup', backup, 'nginx.conf'), 'utf8')).toBe(before);

    // A configuration that nginx refuses is not left in place.
    const installed = await service.succeed('cat /etc/nginx/nginx.conf');
    await service.succeed(
      'cp config/nginx.conf ../nginx.conf; sed -i s/least_conn/most_conn/ config/nginx.conf',
    );
    const refused = await service.run(`${DEPLOY} --with-nginx`);
    await service.succeed('mv ../nginx.conf config/nginx.conf');
    expect(refused.status).toBe(1);
    expect(refused.output).toContain('most_conn');
    expect(await service.succeed('cat /etc/nginx/nginx.conf')).toBe(installed);
    expect(await service.succeed('curl -m 5 -sk https://localhost/sse/health')).toContain(
      '"status":"healthy"',
    );
  });

  it('an nginx that serves other sites is not taken over', async () => {
    await service.succeed('echo "server { listen 81; }" >/etc/nginx/conf.d/shop.conf');
    const before = await service.succeed(LIST);
    const { status, output } = await service.run(`${DEPLOY} --with-nginx`);
    expect([status, output]).toEqual([1, expect.stringContaining('/etc/nginx/conf.d/shop.conf')]);
    expect(await service.succeed(LIST)).toBe(before);
  });

  it('the port of a stranger, and a service under another supervisor, stop it before anything changes', async () => {
    await service.serve('scripts/start.sh --production');
    const { status, output } = await service.run(DEPLOY);
    expect([status, output]).toEqual([
      1,
      expect.stringContaining('The service runs under another supervisor (process)'),
    ]);
    expect(output).not.toContain('Rolling back');
    expect(await service.succeed('scripts/status.sh --health')).toBe('healthy\n');
  });

  it('a unit of systemd is written for this folder, and started', async () => {
    // Stands in for systemd: reads the unit file and runs its commands.
    const env = standIn(
      'systemctl',
      `unit=/etc/systemd/system/message-push-service.service
      of() { sed -n "s/^$1=//p" $unit 2>/dev/null; }
      case "$*" in
        *WorkingDirectory*) of WorkingDirectory ;;
        *MainPID*) cat /run/main.pid 2>/dev/null || echo 0 ;;
        restart*) export $(of Environment); cd "$(of WorkingDirectory)"
          setsid $(of ExecStart) >/dev/null 2>&1 </dev/null & echo $! >/run/main.pid; $(of ExecStartPost) ;;
      esac`,
    );
    expect(await service.succeed('scripts/deploy.sh --env production --systemd', { env })).toContain(
      '== Deployed',
    );
    expect((await service.run('scripts/status.sh --json', { env })).output).toContain('"runner": "systemd"');
    const unit = await service.succeed('cat /etc/systemd/system/message-push-service.service');
    expect(unit).toContain(`WorkingDirectory=${service.root}\n`);
    expect(unit).not.toContain('/opt/');
    expect(
      await service.succeed(
        'stat -c %U data; systemd-analyze verify /etc/systemd/system/message-push-service.service',
      ),
    ).toBe('message-push\n');
  });

  it('a container that does not become healthy makes room for the image before', async () => {
    const log = join(service.machine.folder, 'calls');
    standIn('docker-compose', `echo "docker-compose $*" >>${log}; case "$1" in ps) echo id ;; esac`);
    const env = standIn(
      'docker',
      `case "$1" in compose) exit 1 ;; inspect) case "$3" in *Health*) echo \${HEALTH:-healthy} ;; *) echo true ;; esac ;; *) echo "docker $*" >>${log} ;; esac`,
    );
    const deploy = 'scripts/deploy.sh --env production --docker --with-nginx';
    expect(await service.succeed(deploy, { env })).toContain('== Deployed');
    const calls = readFileSync(log, 'utf8');
    expect(calls).toMatch(
      /docker tag message-push-service message-push-service:last-good[\s\S]*docker-compose build\ndocker-compose --profile proxy up -d\n/,
    );
    const failed = await service.run(deploy, { env: { ...env, HEALTH: 'unhealthy' } });
    expect(failed.status).toBe(1);
    expect(readFileSync(log, 'utf8')).toMatch(
      /docker tag message-push-service:last-good message-push-service\ndocker-compose up -d --no-build\n$/,
    );
  });
});
