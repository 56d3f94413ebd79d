/**
 * The deployment guide, followed from its first shell block to its last in a scratch copy on a scratch machine, where
 * its ports are free and its files under /etc may be written. Docker blocks are left out: there is no Docker engine.
 */
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { filledNpmCache } from '../support/deploy/npm-cache.ts';
import { scratchMachineProblem } from '../support/deploy/scratch-machine.ts';
import { ScratchService } from '../support/deploy/scratch-service.ts';
import { blocksOf, shellLines } from '../support/guides/guide-blocks.ts';
import { ROOT } from '../support/repository.ts';
import { waitFor } from '../support/wait.ts';

const GUIDE = join(ROOT, 'docs/guides/deployment.zh.md');
const guide = readFileSync(GUIDE, 'utf8');
const lines = blocksOf(guide, 'bash').flatMap(shellLines);
const commands = lines.filter((l) => l.kind === 'command' && !/docker/.test(l.text)).map((l) => l.text);
const NEW_VERSION = '1.0.1';
const UP = { status: 'healthy', runner: 'pm2', environment: 'production' };

describe.skipIf(scratchMachineProblem() !== undefined)('the deployment guide', () => {
  let service: ScratchService;
  let env: Readonly<Record<string, string>>;

  beforeAll(async () => {
    service = new ScratchService();
    await service.boot();
    const { root, machine } = service;
    // `npm ci` is in the guide, and the scratch machine reaches no registry.
    env = {
      npm_config_cache: filledNpmCache(join(machine.folder, 'spare')),
      npm_config_offline: 'true',
    };
    publishNewVersion(root, join(machine.folder, 'origin.git'));
  }, 500_000);
  afterAll(() => service.dispose());

  const run = (command: string, cwd?: string) =>
    service.run(command, { env, timeoutMs: 300_000, ...(cwd && { cwd }) });
  async function succeed(command: string, cwd?: string): Promise<string> {
    const { status, output } = await run(command, cwd);
    if (status !== 0) throw new Error(`${command} ended with ${status}: ${output}`);
    return output;
  }

  /** Runs it in the foreground until it serves, then interrupts it as the operator's terminal would. */
  const serves = async (command: string): Promise<void> => {
    await service.serve(command);
    expect(await service.status()).toMatchObject({ status: 'healthy', environment: 'development' });
    const pid = (await service.status()).processes[0]?.pid;
    await succeed(`kill -INT ${pid}; while kill -0 ${pid} 2>/dev/null; do sleep 0.1; done`);
  };
  /** Expects the command to show the log; it never ends by itself. */
  const shows = (expected: RegExp) => async (command: string) => {
    const child = service.machine.spawn(command, { cwd: service.root, env: { ...env, PATH: service.path } });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (part) => (output += String(part)));
    await waitFor(command, () => expected.test(output), { timeoutMs: 30_000, describe: () => output });
    child.kill('SIGKILL');
  };
  const says = (expected: RegExp) => async (command: string) => {
    expect(await succeed(command)).toMatch(expected);
  };
  const deploys = async (command: string): Promise<void> => {
    expect(await succeed(command)).toContain('== Deployed: http://127.0.0.1:8089');
    expect(await service.status()).toMatchObject(UP);
  };
  const stops = async (command: string): Promise<void> => {
    await says(/Stopped\.|The service is not running\./)(command);
    expect((await service.status()).status).toBe('not running');
  };
  const startsAgain = () => succeed('./scripts/start.sh --pm2');

  /** Each command of the guide in its order, with what it must do; `undefined` marks a step between two commands. */
  const steps: readonly (readonly [string | undefined, (command: string) => Promise<unknown>])[] = [
    ['cd message-push-service', (c) => succeed(c, join(service.root, '..'))],
    ['./scripts/start.sh --development', serves],
    ['npm start', serves],
    ['./scripts/start.sh --pm2', says(/Ready at http:\/\/127\.0\.0\.1:8089/)],
    ['pm2 start ecosystem.config.js --env production', says(/online/)],
    ['pm2 status message-push-service', says(/message-push-service[\s\S]*online/)],
    ['pm2 logs message-push-service', shows(/"message":"ready: /)],
    ['./scripts/deploy.sh --env production --pm2', deploys],
    [
      './scripts/deploy.sh --env production --pm2 --with-nginx',
      async (c) => {
        await deploys(c);
        expect(await succeed('curl -m 5 -sk https://localhost/sse/health')).toContain('"status":"healthy"');
      },
    ],
    ['cp config/development.env.example config/development.env', succeed],
    ['cp config/production.env.example config/production.env', succeed],
    [
      undefined,
      async () => {
        // 「重要：修改以下配置项」
        const lines = [
          'ALLOWED_ORIGINS=https://app.example.com',
          'REDIS_PASSWORD=',
          'ALLOW_ANONYMOUS=true',
          'TRUST_PROXY=127.0.0.1',
        ];
        appendFileSync(join(service.root, 'config/production.env'), `${lines.join('\n')}\n`);
        await deploys('./scripts/deploy.sh --env production --pm2');
      },
    ],
    ['./scripts/status.sh', says(/^Service +healthy[\s\S]*^Streams[\s\S]*^Engine +embedded[\s\S]*^Disk/m)],
    ['./scripts/status.sh --health', says(/^healthy$/m)],
    ['./scripts/status.sh --logs', says(/"message":"ready: /)],
    ['./scripts/stop.sh', stops],
    ['./scripts/stop.sh --force', stops],
    ['./scripts/stop.sh --clean', stops],
    [undefined, startsAgain],
    ['tail -f logs/message-push-service.log', shows(/"message":"ready: /)],
    ['pm2 logs message-push-service', shows(/"message":"ready: /)],
    ['curl http://localhost:9090/sse/metrics', says(/^message_push_connections/m)],
    ['curl http://localhost:8089/sse/health', says(/"status":"healthy"/)],
    ['curl http://localhost:8089/sse/api/v1/connections/stats', says(/"success":true,"stats":\{/)],
    // A machine may have a lower limit, and says so.
    ['ulimit -n 65536', async (c) => expect((await run(c)).output).toMatch(/^$|cannot modify limit/)],
    ["echo 'net.core.somaxconn = 65535' >> /etc/sysctl.conf", succeed],
    ["echo 'net.ipv4.tcp_max_syn_backlog = 65535' >> /etc/sysctl.conf", succeed],
    ['sysctl -p', says(/net\.core\.somaxconn = 65535\n[\s\S]*tcp_max_syn_backlog = 65535/)],
    ['lsof -i :8089', says(/node.*:8089 \(LISTEN\)/)],
    ['./scripts/stop.sh --force', stops],
    // Redis does not run yet.
    ['redis-cli ping', async (c) => expect((await run(c)).output).toContain('Could not connect')],
    ['redis-server --daemonize yes', succeed],
    [undefined, () => succeed('until redis-cli ping; do sleep 0.1; done')],
    [undefined, startsAgain],
    ['free -h', says(/Mem:/)],
    ['./scripts/status.sh --logs', says(/"message":"ready: /)],
    ['curl http://localhost:9090/sse/metrics', says(/^message_push_connections/m)],
    ['cp -r . ../message-push-service-backup', succeed],
    ['./scripts/stop.sh', stops],
    ['git pull origin main', says(/package\.json/)],
    ['npm ci', succeed],
    [
      './scripts/deploy.sh --env production --pm2',
      async (c) => {
        await deploys(c);
        expect((await service.status()).version).toBe(NEW_VERSION);
      },
    ],
    ['logrotate /etc/logrotate.d/message-push-service', succeed],
    ['find logs/ -name "*.log.*" -mtime +7 -delete', succeed],
    ['redis-cli BGSAVE', says(/Background saving started/)],
  ];

  it('every command, in its order, does what the guide says', { timeout: 900_000 }, async () => {
    expect(steps.flatMap(([command]) => command ?? [])).toEqual(commands);
    for (const [command, step] of steps) {
      await step(command ?? '').catch((error: unknown) => {
        throw new Error(`the guide's command failed: ${command}`, { cause: error });
      });
    }
  });

  it('every setting is understood', async () => {
    const ssl = join(service.machine.folder, 'ssl');
    mkdirSync(ssl);
    await succeed(
      `openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout ${ssl}/key.pem -out ${ssl}/cert.pem`,
    );
    const blocks = blocksOf(guide, 'bash').map((block) =>
      shellLines(block).filter((line) => line.kind === 'setting'),
    );
    const settings = blocks.filter((block) => block.length > 0);
    expect(settings.length).toBeGreaterThan(10);
    for (const block of settings) {
      const text = block.map((line) => line.text.replace('/app/ssl', ssl)).join('\n');
      const isProduction = text.includes('ENVIRONMENT=production');
      writeFileSync(
        join(service.root, 'run/guide.env'),
        `${text}\nMESSAGE_QUEUE_TYPE=redis\n${isProduction ? 'ALLOW_ANONYMOUS=true\n' : ''}`,
      );
      const check = 'npm start --silent -- --check-config';
      const { status, output } = await service.run(check, { env: { CONFIG_FILE: 'run/guide.env' } });
      // Settings that this version does not have are refused by name.
      const refused = output.split('\n').filter((line) => /^ {2}[A-Z_]+=/.test(line));
      if (status !== 0)
        expect(
          refused.filter((line) => !line.includes('not part of this version')),
          output,
        ).toEqual([]);
      else expect(output).toContain('The configuration is valid.');
    }
  });

  it('Redis and nginx take what is said of them', async () => {
    const redis = lines.filter((line) => line.kind === 'redis').map((line) => line.text);
    expect(redis.length).toBe(4);
    await succeed(
      'redis-cli ping || { redis-server --daemonize yes; until redis-cli ping; do sleep 0.1; done; }',
    );
    for (const line of redis)
      expect(await succeed(`redis-cli config set ${line.replace(/(pubsub .*)$/, "'$1'")}`)).toBe('OK\n');
    const hosts = [1, 2, 3].map((n) => `127.0.0.1 message-push-service-${n}`).join('\n');
    const [location = '', upstream = ''] = blocksOf(guide, 'nginx');
    const config = `events {}\nhttp {\n${upstream}\nserver { listen 81;\n${location}\n} }\n`;
    writeFileSync(join(service.machine.folder, 'guide.conf'), config);
    const tried = `echo '${hosts}' >>/etc/hosts; nginx -t -c ${service.machine.folder}/guide.conf`;
    expect(await succeed(tried)).toContain('test is successful');
  });
});

/** Makes the copy a clone of an origin that is one version ahead. */
function publishNewVersion(root: string, origin: string): void {
  const git = (...args: string[]): void => {
    const who = [
      '-c',
      'user.name=Operator',
      '-c',
      'user.email=operator@example.com',
      '-c',
      'commit.gpgsign=false',
    ];
    execFileSync('git', [...who, ...args], { cwd: root, stdio: 'pipe' });
  };
  git('init', '--quiet', '--initial-branch=main');
  git('add', '--all');
  git('commit', '--quiet', '--message=Release 1.0.0');
  const manifest = join(root, 'package.json');
  const text = readFileSync(manifest, 'utf8');
  writeFileSync(manifest, text.replace(/"version": "[^"]+"/, `"version": "${NEW_VERSION}"`));
  git('commit', '--quiet', '--all', `--message=Release ${NEW_VERSION}`);
  git('clone', '--quiet', '--bare', '.', origin);
  git('reset', '--quiet', '--hard', 'HEAD~1');
  git('remote', 'add', 'origin', origin);
}
