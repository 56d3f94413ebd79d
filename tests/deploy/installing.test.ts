/**
 * The installation page, followed command by command on a scratch machine, in both languages. What the page downloads
 * is there already: packages of the system, PM2, and the checkout.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scratchMachineProblem } from '../support/deploy/scratch-machine.ts';
import { ScratchService } from '../support/deploy/scratch-service.ts';
import { blocksOf } from '../support/guides/guide-blocks.ts';
import { ROOT } from '../support/repository.ts';

const page = (name: string): string[] =>
  blocksOf(readFileSync(join(ROOT, 'docs/production', name), 'utf8'), 'sh');
const CHECKOUT = '/opt/message-push-service';
const TIMEOUT_MS = 180_000;

describe.skipIf(scratchMachineProblem() !== undefined)('the page on installing', () => {
  let service: ScratchService;
  beforeAll(async () => {
    service = new ScratchService();
    await service.boot();
  });
  afterAll(() => service.dispose());

  it('has the same commands in both languages', () => {
    expect(page('installing.zh.md')).toEqual(page('installing.md'));
  });

  it('leads to a service behind nginx that delivers a message', async () => {
    const [packages = '', first = '', own = '', send = '', doctor = ''] = page('installing.md');
    const { root } = service;
    const succeed = (command: string) => service.succeed(command, { timeoutMs: TIMEOUT_MS });

    for (const program of ['git', 'nginx', 'openssl', 'curl', 'pm2']) {
      expect(packages).toContain(program);
      await succeed(`command -v ${program}`);
    }

    const deploy = first.replace(/^git clone .*$/m, '').replaceAll(CHECKOUT, root);
    expect(await succeed(deploy)).toMatch(/== Deployed: [\s\S]*"status":"healthy"/);
    expect(await succeed('scripts/status.sh --json')).toContain('"runner": "pm2"');
    // It can only be reached through nginx, which it trusts.
    expect(await succeed('ss -Hltn sport = :8089')).toMatch(/ 127\.0\.0\.1:8089 /);

    await succeed(
      'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=push.example.com ' +
        '-addext subjectAltName=DNS:push.example.com -keyout privkey.pem -out fullchain.pem 2>/dev/null',
    );
    expect(await succeed(own)).toContain('== Deployed');
    const shown = await succeed('openssl s_client -connect localhost:443 </dev/null 2>/dev/null');
    expect(shown).toContain('CN = push.example.com');

    // A person who types this leaves the stream time to open.
    const typed = send
      .replace(/^API_KEY=/m, 'sleep 1\nAPI_KEY=')
      .replace('cat alice.txt', 'sleep 1; cat alice.txt');
    expect(await succeed(typed)).toMatch(/"success":true[\s\S]*event: info\ndata: .*"it works"/);

    const { status, output } = await service.run(
      `API_KEY=$(sed -n 's/^API_KEY=//p' config/production.env)
      ${doctor.trim()} --connect 127.0.0.1:443 --ca fullchain.pem --seconds 2`,
      { timeoutMs: TIMEOUT_MS },
    );
    expect([output, status]).toEqual([expect.anything(), 0]);
  });
});
