import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type LogOptions, type OpenLog, openLog } from './log.ts';
import type { LogTarget } from './log-sink.ts';

interface LineFields {
  level?: string;
  message?: string;
  i?: number;
  round?: number;
}

class MemoryTarget implements LogTarget {
  readonly name = 'memory';
  text = '';
  async append(text: string): Promise<void> {
    this.text += text;
  }
  appendSync(text: string): void {
    this.text += text;
  }
  async close(): Promise<void> {
    this.text += '';
  }
  lines(): LineFields[] {
    return parsedLines(this.text);
  }
}

function parsedLines(text: string): LineFields[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as LineFields);
}

let folder: string;
let output: MemoryTarget;
let failures: string[];
let counters: { lostLines: number };

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'log-test-'));
  output = new MemoryTarget();
  failures = [];
  counters = { lostLines: 0 };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function open(options: Partial<LogOptions> = {}): OpenLog {
  return openLog({
    level: 'INFO',
    format: 'json',
    file: undefined,
    isRotated: true,
    maxBytes: 10_485_760,
    backups: 3,
    service: 'message-push-service',
    environment: 'production',
    counters,
    output,
    sayFailure: (text) => failures.push(text),
    ...options,
  });
}

describe('a line', () => {
  test('has level, time, service, environment and message', async () => {
    const { log, close } = open();
    log.info({ connectionId: 'c1' }, 'stream opened');
    log.warn('slow');
    log.fatal('over');
    await close();
    expect(output.lines()[0]).toEqual({
      level: 'INFO',
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      service: 'message-push-service',
      environment: 'production',
      connectionId: 'c1',
      message: 'stream opened',
    });
    expect(output.lines().map((line) => line.level)).toEqual(['INFO', 'WARNING', 'CRITICAL']);
  });

  test('below the level is not written', async () => {
    const { log, close } = open({ level: 'WARNING' });
    log.info('no');
    log.debug('no');
    log.error('yes');
    await close();
    expect(output.lines().map((line) => line.message)).toEqual(['yes']);
  });

  test('shows no credential, wherever it stands', async () => {
    const { log, close } = open();
    log.info({ url: '/s?ticket=hush', headers: { authorization: 'hush', accept: '*/*' } });
    log.info({
      req: { id: 'r1', method: 'GET', url: '/s?token=hush', headers: { cookie: 'hush' }, ip: '::1' },
    });
    log.error({ err: new Error('redis://:hush@h failed', { cause: new Error('http://h/?key=hush') }) });
    log.info('opened http://h/?key=hush');
    log.child({ url: '/s?jwt=hush' }).info({ password: 'hush', token: 'hush' });
    await close();
    expect(output.text).not.toContain('hush');
    expect(output.lines()).toMatchObject([
      { url: '/s?ticket=***', headers: { authorization: '***', accept: '*/*' } },
      { req: { id: 'r1', method: 'GET', url: '/s?token=***', ip: '::1' } },
      { err: { type: 'Error', message: 'redis://***@h failed: http://h/?key=***' } },
      { message: 'opened http://h/?key=***' },
      { url: '/s?jwt=***', password: '***', token: '***' },
    ]);
  });

  test('is readable when coloured, and cannot be forged by a line break', async () => {
    const { log, close } = open({ format: 'colored' });
    log.warn({ connectionId: 'c1', reason: 'a b', n: 3 }, 'slow\nreader');
    log.error({ err: new Error('broken') }, 'failed');
    await close();
    const lines = stripVTControlCharacters(output.text).split('\n');
    expect(lines[0]).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} WARNING {2}slow reader connectionId=c1 reason="a b" n=3$/,
    );
    expect(lines[1]).toMatch(/ ERROR {4}failed$/);
    expect(lines[2]).toBe('    Error: broken');
    expect(lines[3]).toMatch(/^ {8}at /);
  });

  test('says which process it is of, where there are several', async () => {
    const { log, close } = open({ worker: 2 });
    log.info('ready');
    await close();
    expect(output.lines()).toMatchObject([{ worker: 2, message: 'ready' }]);
  });

  test.each(['json', 'colored'] as const)(
    'of another process is written like its own: %s',
    async (format) => {
      const other = open({ worker: 2 });
      other.log.info('ready');
      await other.close();
      const [line] = output.text.split(/(?<=\n)/) as [string];
      output.text = '';
      const file = path.join(folder, 'service.log');
      const foreign = ['no JSON\n', '{}\n', 'null\n', '{"level":"INFO"}\n', '{"level":"x","timestamp":""}\n'];
      const { writeLine, close } = open({ format, file });
      for (const text of [line, ...foreign]) writeLine(text);
      await close();
      expect(readFileSync(file, 'utf8')).toBe(line + foreign.join(''));
      const shown = stripVTControlCharacters(output.text);
      expect(shown.endsWith(foreign.join(''))).toBe(true);
      if (format === 'json') expect(shown.startsWith(line)).toBe(true);
      else expect(shown).toMatch(/^[\d:.]{12} INFO {5}ready worker=2\n/);
    },
  );
});

describe('the file', () => {
  test('gets every line as JSON, also when standard output is coloured', async () => {
    const file = path.join(folder, 'logs/service.log');
    const { log, close } = open({ file, format: 'colored' });
    for (let i = 0; i < 100; i++) log.info({ i }, 'line');
    await close();
    expect(parsedLines(readFileSync(file, 'utf8')).map((line) => line.i)).toEqual([...Array(100).keys()]);
  });

  test('is rotated by size and keeps so many older ones', async () => {
    const file = path.join(folder, 'service.log');
    for (let round = 0; round < 6; round++) {
      const { log, close } = open({ file, maxBytes: 1024, backups: 2 });
      log.info({ round, filler: 'x'.repeat(2000) }, 'line');
      await close();
    }
    expect(readdirSync(folder).sort()).toEqual(['service.log', 'service.log.1', 'service.log.2']);
    expect(parsedLines(readFileSync(`${file}.1`, 'utf8'))[0]).toMatchObject({ round: 5 });
    expect(parsedLines(readFileSync(`${file}.2`, 'utf8'))[0]).toMatchObject({ round: 4 });
  });

  test('is appended to for ever without rotation', async () => {
    const file = path.join(folder, 'service.log');
    for (let round = 0; round < 3; round++) {
      const { log, close } = open({ file, isRotated: false, maxBytes: 1024 });
      log.info({ round, filler: 'x'.repeat(2000) }, 'line');
      await close();
    }
    expect(readdirSync(folder)).toEqual(['service.log']);
    expect(parsedLines(readFileSync(file, 'utf8')).map((line) => line.round)).toEqual([0, 1, 2]);
  });

  test('that cannot be written is counted and said once a minute, and logging goes on', async () => {
    // A folder at the file's path makes writing fail for every user, including root.
    const file = path.join(folder, 'service.log');
    mkdirSync(file);
    const { log, close } = open({ file });
    for (let i = 0; i < 5; i++) log.info({ i }, 'line');
    await close();
    expect(output.lines()).toHaveLength(5);
    expect(counters.lostLines).toBe(5);
    expect(failures).toEqual([
      expect.stringMatching(/^cannot write the log to .*service\.log, 5 lines lost: /),
    ]);
  });

  test('is written again once it can be', async () => {
    const file = path.join(folder, 'service.log');
    mkdirSync(file);
    const { log, close } = open({ file });
    log.info('lost');
    await expect.poll(() => counters.lostLines).toBe(1);
    rmSync(file, { recursive: true });
    log.info('kept');
    await close();
    expect(parsedLines(readFileSync(file, 'utf8')).map((line) => line.message)).toEqual(['kept']);
  });

  test('gets what is buffered before the process ends', () => {
    const file = path.join(folder, 'service.log');
    writeFileSync(file, '');
    const { log, flushSync } = open({ file });
    log.fatal('the end');
    flushSync();
    expect(parsedLines(readFileSync(file, 'utf8'))).toMatchObject([
      { level: 'CRITICAL', message: 'the end' },
    ]);
    expect(output.lines()).toHaveLength(1);
  });
});

test('a target that takes nothing costs bounded memory and is said', async () => {
  let release: () => void = () => undefined;
  const stuck: LogTarget = {
    name: 'stuck',
    append: () => new Promise((resolve) => (release = resolve)),
    appendSync: () => undefined,
    close: async () => undefined,
  };
  const { log, close } = open({ output: stuck });
  const filler = 'x'.repeat(1024 * 1024);
  for (let i = 0; i < 10; i++) log.info({ filler }, 'line');
  expect(counters.lostLines).toBe(7);
  expect(failures).toEqual([expect.stringContaining('stuck, 1 lines lost: it accepts lines too slowly')]);
  const closing = close();
  await Promise.resolve();
  release();
  await closing;
});
