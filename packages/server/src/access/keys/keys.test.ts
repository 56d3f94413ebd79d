import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createApiKey, hashApiKey } from './api-key.ts';
import { createKeyText } from './create-key.ts';
import { KeyFile } from './key-file.ts';
import { type ApiKeyRecord, parseKeyList } from './key-list.ts';
import { KeyRing, masterKey } from './key-ring.ts';

const NOW = Date.UTC(2026, 5, 1);

const entry = (name: string, key: string, more: object = {}) => ({
  name,
  sha256: hashApiKey(key),
  scopes: ['publish'],
  channels: ['task:*'],
  ...more,
});
const parse = (...entries: unknown[]): ApiKeyRecord[] => parseKeyList(JSON.stringify(entries), 'API_KEYS');

test('a key is 256 random bits behind a word that says what it is', () => {
  const keys = Array.from({ length: 100 }, createApiKey);
  for (const key of keys) expect(key).toMatch(/^mpk_[\w-]{43}$/);
  expect(new Set(keys).size).toBe(100);
});

describe('a list of keys', () => {
  test('is read whole', () => {
    const [record] = parse(entry('kb', 'k', { expires_at: '2027-01-31T12:00:00+08:00' }));
    expect(record).toMatchObject({ name: 'kb', scopes: ['publish'], expiresAtMs: Date.UTC(2027, 0, 31, 4) });
    expect([record?.channels.has('task:1'), record?.channels.has('user:1')]).toEqual([true, false]);
    expect(parse(entry('a', 'k', { expires_at: '2027-01-31' }))[0]?.expiresAtMs).toBe(Date.UTC(2027, 0, 31));
  });

  test.each<[string, object, RegExp]>([
    ['no name', { name: undefined }, /name must be text/],
    ['an empty name', { name: '' }, /name must not be empty/],
    ['a hash of another length', { sha256: 'ab' }, /sha256 must be 64/],
    ['a hash in capitals', { sha256: hashApiKey('k').toUpperCase() }, /sha256 must be 64/],
    ['no scope', { scopes: [] }, /scopes must be an array of one or more/],
    ['an unknown scope', { scopes: ['publish', 'admin'] }, /scopes must be/],
    ['no channels', { channels: undefined }, /channels must be an array/],
    ['a wrong pattern', { channels: ['a*b'] }, /channels entry 0 must have a \* at its end only/],
    ['a time without a zone', { expires_at: '2027-01-31T12:00:00' }, /expires_at must be/],
    ['an end that is a number', { expires_at: 1_800_000_000 }, /expires_at must be/],
    ['the key itself', { key: 'hush-hush' }, /must not hold the key itself/],
    ['an unknown field', { 'hush-hush': true }, /has an unknown field/],
  ])('with %s is refused, without a word of what it holds', (_, more, problem) => {
    expect(() => parse(entry('a', 'k', more))).toThrow(problem);
    expect(() => parse(entry('a', 'k', more))).not.toThrow(/hush/);
  });

  test('names all problems at once, and repeated names and keys', () => {
    expect(() => parse(1, entry('a', 'k', { scopes: [] }))).toThrow(
      /^API_KEYS: key 0 must be an object; key 1 scopes/,
    );
    expect(() => parse(entry('a', 'k'), entry('a', 'l'))).toThrow('two keys have the name "a"');
    expect(() => parse(entry('a', 'k'), entry('b', 'k'))).toThrow('two keys have the sha256');
    expect(() => parseKeyList('[hush', 'API_KEYS')).toThrow(/^API_KEYS is not valid JSON$/);
    expect(() => parseKeyList('{}', 'API_KEYS')).toThrow('must be a JSON array');
  });
});

describe('the ring of keys', () => {
  test('finds a key by what was sent, and no other', () => {
    const ring = new KeyRing({ now: () => NOW });
    expect(ring.find('secret-key')).toBeUndefined();
    ring.replace('API_KEY', [masterKey('secret-key')]);
    ring.replace('API_KEYS', parse(entry('kb', 'k1'), entry('task', 'k2')));
    expect([ring.find('secret-key')?.name, ring.find('k1')?.name, ring.find('k2')?.name]).toEqual([
      'API_KEY',
      'kb',
      'task',
    ]);
    for (const wrong of ['', 'k', 'k3', 'K1', 'k1 ', hashApiKey('k1'), '0'.repeat(64), 'x'.repeat(10_000)]) {
      expect(ring.find(wrong), wrong).toBeUndefined();
    }
  });

  test('keeps hashes only', () => {
    expect(JSON.stringify(masterKey('secret-key'))).not.toContain('secret-key');
  });

  test('an expired key is like an unknown one', () => {
    let now = NOW;
    const ring = new KeyRing({ now: () => now });
    ring.replace('API_KEYS', parse(entry('kb', 'k1', { expires_at: new Date(NOW + 1).toISOString() })));
    expect(ring.find('k1')?.name).toBe('kb');
    now = NOW + 1;
    expect(ring.find('k1')).toBeUndefined();
  });

  test('a new list takes over at once, and whose key is gone is told', () => {
    const removed: (readonly string[])[] = [];
    const ring = new KeyRing({ now: () => NOW, onRemoved: (names) => removed.push(names) });
    ring.replace('file', parse(entry('a', 'k1'), entry('b', 'k2')));
    ring.replace('file', parse(entry('a', 'k1-new'), entry('b', 'k2')));
    expect([ring.find('k1'), ring.find('k1-new')?.name, ring.find('k2')?.name]).toEqual([
      undefined,
      'a',
      'b',
    ]);
    expect(removed).toEqual([['a']]);
  });

  test('a list that repeats a name or a key of another source changes nothing', () => {
    const ring = new KeyRing({ now: () => NOW });
    ring.replace('API_KEYS', parse(entry('a', 'k1')));
    ring.replace('file', parse(entry('b', 'k2')));
    expect(() => ring.replace('file', parse(entry('a', 'k3')))).toThrow(
      'API_KEYS and file both have a key named "a"',
    );
    expect(() => ring.replace('file', parse(entry('c', 'k1')))).toThrow(
      'file repeats a key under the name "c"',
    );
    expect([ring.size, ring.find('k2')?.name]).toEqual([2, 'b']);
  });
});

describe('the file of keys', () => {
  let folder: string;
  let file: string;
  let lists: string[][];
  let errors: string[];
  let keyFile: KeyFile;

  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'key-file-test-'));
    file = path.join(folder, 'keys.json');
    lists = [];
    errors = [];
    keyFile = new KeyFile({
      path: file,
      onKeys: (records) => {
        if (records.some(({ name }) => name === 'refused')) throw new Error('refused by the ring');
        lists.push(records.map(({ name }) => name));
      },
      onError: ({ message }) => errors.push(message),
      intervalMs: 3_600_000,
    });
  });
  afterEach(() => {
    keyFile.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const write = (text: string, to = file): void => writeFileSync(to, text);
  const listOf = (...names: string[]): string =>
    JSON.stringify(names.map((name) => entry(name, `key of ${name}`)));

  test('is read when it changes, and only then', async () => {
    write(listOf('a'));
    await keyFile.open();
    await keyFile.check();
    write(listOf('a', 'b'));
    await keyFile.check();
    await keyFile.check();
    expect([lists, errors]).toEqual([[['a'], ['a', 'b']], []]);
  });

  test('that is replaced, or led to by a link that is swapped, is read again', async () => {
    write(listOf('a'), path.join(folder, 'one.json'));
    write(listOf('b'), path.join(folder, 'two.json'));
    symlinkSync('one.json', file);
    await keyFile.open();
    symlinkSync('two.json', `${file}.new`);
    renameSync(`${file}.new`, file);
    await keyFile.check();
    write(listOf('c'), `${file}.new`);
    renameSync(`${file}.new`, file);
    await keyFile.check();
    expect(lists).toEqual([['a'], ['b'], ['c']]);
  });

  test.each<[string, (() => void) | undefined, RegExp]>([
    ['is broken', () => write('[{'), /is not valid JSON/],
    ['holds what is not allowed', () => write('[{}]'), /key 0 name must be text/],
    ['is not taken over', () => write(listOf('refused')), /refused by the ring/],
    ['is gone', undefined, /cannot be read \(ENOENT\)/],
  ])(
    'that %s leaves the old keys, is told of once, and counts again when it is mended',
    async (_, spoil, words) => {
      write(listOf('a'));
      await keyFile.open();
      if (spoil === undefined) rmSync(file);
      else spoil();
      await keyFile.check();
      await keyFile.check();
      expect(lists).toEqual([['a']]);
      expect(errors).toEqual([expect.stringMatching(words)]);
      write(listOf('a', 'b'));
      await keyFile.check();
      expect([lists.at(-1), errors.length]).toEqual([['a', 'b'], 1]);
    },
  );

  test('that is wrong at the start stops it', async () => {
    await expect(keyFile.open()).rejects.toThrow(/API_KEYS_FILE .*keys\.json cannot be read \(ENOENT\)/);
    write('[{}]');
    await expect(keyFile.open()).rejects.toThrow(/API_KEYS_FILE .*key 0/);
  });
});

describe('npm run keys -- create', () => {
  const create = (...args: string[]): string => createKeyText(args, NOW, 'mpk_the-key');

  test('prints the key once, and a line that the service takes for it', () => {
    const text = create(
      'create',
      '--name',
      'kb',
      '--scopes',
      'publish, read',
      '--channels',
      'kb:*,news',
      '--expires',
      '90d',
    );
    expect(text.match(/mpk_the-key/g)).toHaveLength(1);
    const line = text.split('\n').find((l) => l.trim().startsWith('{')) ?? '';
    const ring = new KeyRing({ now: () => NOW });
    ring.replace('file', parseKeyList(`[${line}]`, 'file'));
    expect(ring.find('mpk_the-key')).toMatchObject({
      name: 'kb',
      scopes: ['publish', 'read'],
      expiresAtMs: NOW + 90 * 86_400e3,
    });
    expect(line).toContain('"channels":["channel:news","kb:*"]');
  });

  test('a key is for all channels and for ever unless it says otherwise', () => {
    const text = create('create', '--name', 'kb', '--scopes', 'manage');
    expect(text).toContain('"channels":["*"]');
    expect(text).not.toContain('expires_at');
  });

  test.each<[string[], RegExp]>([
    [[], /only command is create/],
    [['remove'], /only command is create/],
    [['create', '--name', 'kb'], /--name and --scopes are required/],
    [['create', '--name', 'kb', '--scopes', 'all'], /scopes must be/],
    [['create', '--name', '', '--scopes', 'read'], /name must not be empty/],
    [['create', '--name', 'kb', '--scopes', 'read', '--channels', 'a*b'], /--channels: entry 0/],
    [['create', '--name', 'kb', '--scopes', 'read', '--channels', ','], /--channels: names no channel/],
    [['create', '--name', 'kb', '--scopes', 'read', '--expires', 'soon'], /neither a duration nor a time/],
    [['create', '--name', 'kb', '--scopes', 'read', '--expires', '2020-01-01'], /already passed/],
    [['create', '--name', 'kb', '--scopes', 'read', '--chanels', 'x'], /--chanels/],
  ])('%j is refused', (args, problem) => {
    expect(() => create(...args)).toThrow(problem);
  });
});
