/** What `scripts/check-imports.mjs` finds in a small tree of packages. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const SCRIPT = 'scripts/check-imports.mjs';

describe('the check of imports', () => {
  let root: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'imports-'));
    cpSync('ARCHITECTURE.md', join(root, 'ARCHITECTURE.md'));
    write('packages/protocol/src/index.ts', 'export type Position = string;\n');
  });
  afterEach(() => rmSync(root, { recursive: true }));

  function write(file: string, text: string): void {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  }
  function problems(): string[] {
    const { stderr, status } = spawnSync(process.execPath, [SCRIPT, root], { encoding: 'utf8' });
    const lines = stderr.split('\n').slice(0, -1);
    expect(status).toBe(lines.length === 0 ? 0 : 1);
    return lines;
  }

  it('passes what follows the table, in folders and in the folders within them', () => {
    write('packages/server/src/core/engine.ts', "import type { Position } from '@message-push/protocol';\n");
    write('packages/server/src/engine/refusals.ts', "import '../core/engine.ts';\n");
    write('packages/server/src/engine/redis/log/page.ts', "import '../../refusals.ts';\n");
    write(
      'packages/server/src/engine/redis/watch/announcer.ts',
      "import '../log/page.ts';\nimport '../../../core/engine.ts';\n",
    );
    write('packages/server/src/http/api/routes/route.ts', "import '../../cors.ts';\n");
    write('packages/server/src/http/cors.ts', '');
    write(
      'packages/server/src/app/start.ts',
      "import '../engine/redis/watch/announcer.ts';\nimport '../http/cors.ts';\n",
    );
    write('packages/server/src/main.ts', "import './app/start.ts';\n");
    expect(problems()).toEqual([]);
  });

  it.each([
    ['another folder', 'hub/hub.ts', "import { x } from '../engine/refusals.ts';"],
    ['a folder further up', 'core/engine.ts', "import { x } from '../hub/hub.ts';"],
    ['a type', 'sse/session.ts', "import type { X } from '../engine/refusals.ts';"],
    [
      'a folder that is imported when it is needed',
      'publish/publisher.ts',
      "const x = await import('../hub/hub.ts');",
    ],
    ['a neighbour within a folder', 'engine/redis/fleet/fleet.ts', "import '../redis-engine.ts';"],
    ['the folder above', 'sse/wire/frame.ts', "import '../session.ts';"],
    ['an entry point', 'app/start.ts', "import '../main.ts';"],
    ['what only tests use', 'sse/session.ts', "import './stream-fixture.ts';"],
  ])('finds an import of %s', (_what, file, text) => {
    write(`packages/server/src/${file}`, `${text}\n`);
    expect(problems()).toEqual([expect.stringContaining(`packages/server/src/${file}: `)]);
  });

  it('finds an import across packages, and a folder without a row', () => {
    write('packages/protocol/src/cursor.ts', "import { x } from '@message-push/server/core/engine';\n");
    write('packages/doctor/src/main.ts', "import { x } from '@message-push/server/core/engine';\n");
    write('packages/server/src/misc/things.ts', '');
    expect(problems()).toEqual([
      expect.stringContaining('packages/doctor/src/main.ts: doctor must not import'),
      expect.stringContaining('packages/protocol/src/cursor.ts: protocol must not import'),
      expect.stringContaining('packages/server/src/misc/things.ts: misc has no row'),
    ]);
  });

  it('finds a circle, also one of types alone', () => {
    write('packages/server/src/hub/hub.ts', "import type { X } from './channel.ts';\n");
    write('packages/server/src/hub/channel.ts', "import type { Y } from './hub.ts';\n");
    expect(problems()).toEqual([
      expect.stringMatching(
        /circle.*hub\.ts → .*channel\.ts → .*hub\.ts|circle.*channel\.ts → .*hub\.ts → .*channel\.ts/,
      ),
    ]);
  });

  it('finds that the document prints another table', () => {
    write('ARCHITECTURE.md', '<!-- imports: start -->\n```\nhub → everything\n```\n<!-- imports: end -->\n');
    expect(problems()).toEqual([expect.stringContaining('ARCHITECTURE.md: prints another table')]);
  });
});
