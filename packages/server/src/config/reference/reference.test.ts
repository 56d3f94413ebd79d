import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { checkConfig } from '../check-config.ts';
import { loadConfig } from '../load-config.ts';
import { ENVIRONMENTS, InvalidValue, type Setting } from '../settings/kinds/setting.ts';
import { SETTINGS, VARIABLES } from '../settings/schema.ts';
import { generatedFiles } from './generated-files.ts';
import { exampleText } from './reference.ts';

const repository = fileURLToPath(new URL('../../../../../', import.meta.url));

test.each([...generatedFiles()])('%s is what the schema says (npm run docs:reference)', (name, text) => {
  expect(readFileSync(path.join(repository, name), 'utf8')).toBe(text);
});

test('every default is a value that the variable itself allows', () => {
  for (const environment of ENVIRONMENTS) {
    for (const variable of VARIABLES) {
      const setting: Setting<unknown> = SETTINGS[variable];
      const fallback = setting.defaultOf({ environment, packageVersion: '1.0.0' });
      if (fallback === undefined) continue;
      const parsed = setting.parse(setting.show(fallback));
      expect(parsed, variable).not.toBeInstanceOf(InvalidValue);
      expect(parsed, variable).toEqual(fallback);
    }
  }
});

describe.each(ENVIRONMENTS)('the example of %s', (environment) => {
  function inRoot<T>(text: string, use: (rootDir: string) => T): T {
    const rootDir = mkdtempSync(path.join(tmpdir(), 'example-test-'));
    try {
      mkdirSync(path.join(rootDir, 'config'));
      writeFileSync(path.join(rootDir, 'config', `${environment}.env`), text);
      return use(rootDir);
    } finally {
      rmSync(rootDir, { recursive: true, force: true });
    }
  }
  const env = { ENVIRONMENT: environment };

  test('loads unchanged and without a warning', () => {
    inRoot(exampleText(environment), (rootDir) => {
      expect(loadConfig({ env, rootDir, packageVersion: '1.0.0' }).warnings).toEqual([]);
    });
  });

  test('still loads when every comment becomes a setting', () => {
    const text = exampleText(environment).replaceAll(/^# ([A-Z][A-Z_]+=\S*)$/gm, '$1');
    inRoot(text, (rootDir) => {
      expect(
        loadConfig({ env, rootDir, packageVersion: '1.0.0' }).settings.every(
          (s) => s.source !== 'default' || s.variable === 'CONFIG_FILE',
        ),
      ).toBe(true);
    });
  });
});

describe('checkConfig', () => {
  const rootDir = path.join(tmpdir(), 'no-such-installation');

  test('prints every variable with its source and no secret', () => {
    const env = { API_KEY: 'hush-hush', REDIS_URL: 'redis://:hush@redis:6379', SERVICE_PORT: '9000' };
    const { isValid, text } = checkConfig({ env, rootDir, packageVersion: '1.0.0' });
    expect(isValid).toBe(true);
    for (const variable of VARIABLES)
      expect(text).toMatch(new RegExp(`^${variable}=.*# (default|file|environment)$`, 'm'));
    expect(text).toMatch(/^SERVICE_PORT=9000 +# environment$/m);
    expect(text).toContain('API_KEY=***');
    expect(text).not.toContain('hush');
  });

  test('prints all problems of a wrong configuration', () => {
    const { isValid, text } = checkConfig({
      env: { SERVICE_PORT: 'x', DEBUG: 'y' },
      rootDir,
      packageVersion: '1.0.0',
    });
    expect(isValid).toBe(false);
    expect(text).toContain('has 2 problems');
    expect(text).toContain('SERVICE_PORT=x');
    expect(text).toContain('DEBUG=y');
  });
});
