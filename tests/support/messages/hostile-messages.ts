/**
 * Messages that someone might post to break a parser, generated from a seed, and what the contract says of each:
 * which of its fields must be refused. The rules here are written from the contract, not from the service's code.
 */
import fc from 'fast-check';

export interface HostileMessage {
  /** The body as it is posted. */
  readonly text: string;
  /** Top fields (`data`, `target.user_id`), one of which the refusal must name; empty when the message is accepted. */
  readonly wrong: readonly string[];
}

/** A channel that every message goes to as well, so that one stream gets them all. */
export const COMMON_CHANNEL = 'hostile run';
const MAX_DEPTH = 32;
const MAX_CHANNEL_BYTES = 256;

const SNIPPETS = [
  '',
  ' ',
  '\u2028',
  '\u2029',
  '\ufeff',
  '\ufeffdata: x',
  '\u0000',
  '\u0085',
  '\u007f',
  '\u200d',
  '\u202e',
  '\ufffd',
  '\uffff',
  '\r',
  '\n',
  '\r\n',
  '\n\r',
  '\n\n',
  '\r\r\n\n',
  'data: {"id":"forged"}\n\n',
  '\ndata: forged\n\n',
  '\r\rid: forged\r\r',
  'id: 0',
  '\nid:\n',
  'event: end',
  '\nevent: end\ndata:\n\n',
  'retry: 1',
  ': comment',
  ':',
  '😀',
  '👩‍👩‍👧‍👦',
  '𝒳𐍈',
  'é\u0301',
  '报告：处理进度',
  '\ud800',
  '\udfff',
  'a\ud83d',
  '\ude00\ud83d',
  '</script><!--',
  '"\\\'`',
  '\\u0000',
  '\\ud800',
  '%0d%0a%00',
  '../..',
  '.',
  '..',
  'a/b?c#d',
  'a,b',
  '~',
  'user:7',
  'broadcast',
  'connection:x',
  '\u001b[31m',
  '{"a":1}',
  'null',
] as const;
const KEYS = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'toJSON',
  'then',
  'length',
  '0',
  '-1',
  '4294967295',
  'data',
  'id',
  'type',
] as const;
const NUMBERS = [
  '0',
  '-0',
  '1.0',
  '1e400',
  '-1e-400',
  '9007199254740993',
  '12345678901234567890123456789',
  '0.1000000000000000055511151231257827',
  '1E+2',
  '1e-7',
  `1${'0'.repeat(400)}`,
  `0.${'0'.repeat(300)}1`,
  '-9223372036854775808',
] as const;

/** Available in every supported Node.js, but not declared by TypeScript's library yet. */
const { rawJSON, isRawJSON } = JSON as unknown as {
  rawJSON: (text: string) => object;
  isRawJSON: (value: unknown) => boolean;
};

const hostileText: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...SNIPPETS) },
  {
    weight: 6,
    arbitrary: fc
      .array(fc.oneof(fc.constantFrom(...SNIPPETS), fc.string({ unit: 'binary', maxLength: 6 })), {
        maxLength: 5,
      })
      .map((parts) => parts.join('')),
  },
  { weight: 3, arbitrary: fc.string({ unit: 'grapheme', maxLength: 20 }) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 30 }) },
  {
    weight: 1,
    // Single UTF-16 units, including lone surrogates.
    arbitrary: fc
      .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 8 })
      .map((units) => String.fromCharCode(...units)),
  },
);
/** A valid message that must be accepted although its contents are hostile. */
const soundText = hostileText.map((text) => text.toWellFormed());
const longText = fc
  .tuple(
    fc.constantFrom('a', '\u2028', '😀', '\ndata: x\n\n', '\u0000', '"\\'),
    fc.integer({ min: 1_000, max: 20_000 }),
  )
  .map(([unit, length]) => unit.repeat(Math.ceil(length / unit.length)));

function jsonValueOf(text: fc.Arbitrary<string>, keys: readonly string[]): fc.Arbitrary<unknown> {
  const key = fc.oneof(text, fc.constantFrom(...keys));
  return fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4, depthSize: 'small' },
      { weight: 5, arbitrary: text },
      { weight: 2, arbitrary: fc.constantFrom(...NUMBERS).map((digits) => rawJSON(digits)) },
      { weight: 2, arbitrary: fc.constantFrom(null, true, false, [], {}) },
      { weight: 1, arbitrary: fc.double({ noDefaultInfinity: true, noNaN: true }) },
      { weight: 2, arbitrary: fc.array(tie('value'), { maxLength: 4 }) },
      { weight: 3, arbitrary: fc.array(fc.tuple(key, tie('value')), { maxLength: 4 }).map(objectOf) },
    ),
  }))['value'] as fc.Arbitrary<unknown>;
}

/** Uses `Object.fromEntries`, which turns the name `__proto__` into a property like any other. */
function objectOf(entries: readonly (readonly [string, unknown])[]): object {
  return Object.fromEntries(entries);
}

function dataOf(text: fc.Arbitrary<string>, keys: readonly string[]): fc.Arbitrary<unknown> {
  const value = jsonValueOf(text, keys);
  return fc.oneof(
    {
      weight: 20,
      arbitrary: fc
        .array(fc.tuple(fc.oneof(text, fc.constantFrom(...keys)), value), { maxLength: 4 })
        .map(objectOf),
    },
    { weight: 4, arbitrary: value.map((inner) => ({ value: inner })) },
    { weight: 1, arbitrary: longText.map((long) => ({ long })) },
    { weight: 1, arbitrary: fc.integer({ min: 20, max: MAX_DEPTH - 3 }).map((depth) => nested(depth)) },
  );
}

function nested(depth: number): object {
  let value: object = {};
  for (let i = 1; i < depth; i++) value = i % 2 === 0 ? [value] : { deep: value };
  return { value };
}

const SAFE_KEYS = KEYS.filter((key) => key !== '__proto__');
/** A valid name: well-formed, without control characters, neither empty nor too long. */
const soundName = soundText.map(
  (text) =>
    Array.from(text)
      .filter((character) => !isControl(character))
      .join('') || 'ü',
);
const NAME_FIELDS = ['user_id', 'session_id', 'kb_id', 'task_id', 'agent_id', 'service'] as const;

const soundBody = fc.record({
  type: fc.constantFrom('progress', 'status', 'error', 'success', 'warning', 'info', 'custom'),
  service: soundName,
  source: fc.option(soundName, { nil: undefined }),
  names: fc.dictionary(fc.constantFrom(...NAME_FIELDS), soundName, { maxKeys: 2 }),
  data: dataOf(soundText, SAFE_KEYS),
  id: fc.option(soundName, { nil: undefined }),
  metadata: fc.option(fc.record({ correlation_id: soundText, extra: jsonValueOf(soundText, SAFE_KEYS) }), {
    nil: undefined,
  }),
});

/** Replaces one valid part by something else, which may be valid by chance: the rules decide. */
const change = fc.oneof(
  { weight: 6, arbitrary: fc.record({ field: fc.constant('data'), value: dataOf(hostileText, KEYS) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      field: fc.constant('data'),
      value: fc.constantFrom(null, [], 'text', 7, true, nested(MAX_DEPTH + 1), nested(3_000)),
    }),
  },
  { weight: 3, arbitrary: fc.record({ field: fc.constant('target.user_id'), value: hostileText }) },
  { weight: 2, arbitrary: fc.record({ field: fc.constant('target.task_id'), value: longText }) },
  { weight: 2, arbitrary: fc.record({ field: fc.constant('id'), value: hostileText }) },
  { weight: 2, arbitrary: fc.record({ field: fc.constant('service'), value: hostileText }) },
  { weight: 1, arbitrary: fc.record({ field: fc.constant('source'), value: longText }) },
  { weight: 1, arbitrary: fc.record({ field: fc.constant('type'), value: hostileText }) },
  {
    weight: 1,
    arbitrary: fc.record({
      field: fc.constantFrom('ttl', 'priority', 'metadata', 'service', 'id', 'target.user_id'),
      value: fc.constantFrom<unknown>(-1, 0.5, 'highest', [], {}, { a: 1 }, 1e9, true),
    }),
  },
);

interface Recipe {
  readonly body: typeof soundBody extends fc.Arbitrary<infer T> ? T : never;
  readonly change: { readonly field: string; readonly value: unknown } | undefined;
  readonly spelling: 'plain' | 'escaped' | 'spaced';
}
const recipe: fc.Arbitrary<Recipe> = fc.record({
  body: soundBody,
  change: fc.option(change, { nil: undefined, freq: 2 }),
  spelling: fc.constantFrom('plain', 'escaped', 'spaced'),
});

export function generateMessages(count: number, seed: number): HostileMessage[] {
  return fc.sample(recipe, { numRuns: count, seed }).map(messageOf);
}

function messageOf({ body, change: changed, spelling }: Recipe, index: number): HostileMessage {
  const { names, id, ...rest } = body;
  const target: Record<string, unknown> = { ...names, channel: COMMON_CHANNEL };
  // Two messages with the same id would conflict, which another test covers.
  const fields: Record<string, unknown> = { ...rest, target, id: id && `${id}#${index}` };
  if (changed !== undefined) {
    const { field, value } = changed;
    if (field.startsWith('target.')) target[field.slice('target.'.length)] = value;
    else if (field === 'id' && typeof value === 'string' && value !== '') fields['id'] = `${value}#${index}`;
    else fields[field] = value;
  }
  const plain = JSON.stringify(fields);
  return { text: spelled(plain, spelling), wrong: wrongFields(fields) };
}

/** The same JSON in another spelling. */
function spelled(plain: string, spelling: Recipe['spelling']): string {
  if (spelling === 'plain') return plain;
  if (spelling === 'spaced') return `\r\n\t ${plain} \n`;
  return plain.replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0').toUpperCase()}`,
  );
}

const TYPES = ['progress', 'status', 'error', 'success', 'warning', 'info', 'custom'];

/** The fields of a body that the contract does not allow. null counts as absent. */
function wrongFields(fields: Readonly<Record<string, unknown>>): string[] {
  const wrong: string[] = [];
  const check = (field: string, isWrong: boolean): void => {
    if (isWrong) wrong.push(field);
  };
  const { type, service, source, id, data, metadata, ttl, priority } = fields as {
    [name: string]: unknown;
  } & Record<'type' | 'service' | 'source' | 'id' | 'data' | 'metadata' | 'ttl' | 'priority', unknown>;
  check('type', !TYPES.includes(type as string));
  check('service', !isLine(service, 128));
  check('source', source != null && !isLine(source, 128));
  check('id', id != null && !isLine(id, 128));
  check('data', !isPlainObject(data) || isPoisoned(data, 1));
  check(
    'metadata',
    metadata != null &&
      (!isPlainObject(metadata) ||
        isPoisoned(metadata, 1) ||
        Array.from((metadata as { correlation_id?: string }).correlation_id ?? '').length > 512),
  );
  check(
    'ttl',
    ttl != null && !(Number.isInteger(ttl) && (ttl as number) >= 0 && (ttl as number) <= 2_592_000),
  );
  check('priority', priority != null && !['low', 'normal', 'high', 'urgent'].includes(priority as string));
  for (const [name, value] of Object.entries(fields['target'] as object)) {
    if (value === null) continue;
    const prefix = `${name.replace(/_id$/, '')}:`;
    check(`target.${name}`, !isName(value) || Buffer.byteLength(prefix + value) > MAX_CHANNEL_BYTES);
  }
  return wrong;
}

function isControl(character: string): boolean {
  return character < ' ' || character === '\u007f';
}

function isName(value: unknown): value is string {
  return (
    typeof value === 'string' && value !== '' && !Array.from(value).some(isControl) && value.isWellFormed()
  );
}

function isLine(value: unknown, maxCharacters: number): boolean {
  return isName(value) && Array.from(value).length <= maxCharacters;
}

function isPlainObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The message itself is level 1, so `data` is level 2. */
function isPoisoned(value: unknown, outerLevels: number): boolean {
  if (typeof value === 'string') return !value.isWellFormed();
  if (typeof value !== 'object' || value === null) return false;
  // JSON.rawJSON returns an object that stands for its digits.
  if (isRawJSON(value)) return false;
  if (outerLevels >= MAX_DEPTH) return true;
  return Object.entries(value).some(
    ([key, inner]) => key === '__proto__' || !key.isWellFormed() || isPoisoned(inner, outerLevels + 1),
  );
}
