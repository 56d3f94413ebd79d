/** Makes requests that no client would send: they follow the API document with random parts replaced by anything. */
import type { Random } from '../random.ts';
import { keyText, MASTER_KEY, makeJwt } from './credentials.ts';

export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };

interface Parameter {
  readonly name: string;
  readonly in: string;
}

export interface Operation {
  readonly method: string;
  /** The path in the document's form, `/a/{b}`. */
  readonly path: string;
  readonly parameters: readonly Parameter[];
  readonly bodyExample: Json | undefined;
}

export interface FuzzedRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
}

const TAME = [
  '1',
  '7',
  'user:7',
  'kb:tenant1-a',
  'broadcast',
  'connection:x',
  'all',
  'latest',
  '10m',
  'true',
  'node',
  'cluster',
  'both',
  'stored',
];
const WILD = [
  '',
  ' ',
  '0',
  '-1',
  '1e309',
  '99999999999999999999',
  'NaN',
  'null',
  '[]',
  '{}',
  '*',
  '..',
  '../..',
  '/',
  '\\',
  '%',
  '%00',
  '\u0000',
  '\r\n',
  '\n',
  'é',
  '漢字',
  '😀',
  '\u202e',
  '\ufeff',
  "' OR 1=1 --",
  '<script>',
  '#{7*7}',
  '__proto__',
  'constructor',
  'a,b,,c',
  ',',
  ':',
  'user:',
  ':7',
  '~',
  '1~0.a',
  'a'.repeat(200),
  'é'.repeat(300),
  'k'.repeat(5000),
];
/** Parts of URLs that cannot be decoded. */
const RAW = [
  '%',
  '%zz',
  '%c3',
  '%ff%fe',
  '%u0041',
  '%00',
  '%2e%2e%2f',
  '%252f',
  ';',
  '#',
  '+',
  '&&',
  '=',
  '[',
  ']',
];
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const TYPES = [
  'application/json',
  'application/json; charset=utf-8',
  'application/json; charset=latin1',
  'text/plain',
  'multipart/form-data',
  '',
  'a/b;;',
  'application/x-www-form-urlencoded',
];

export function fuzzedRequest(operation: Operation, random: Random): FuzzedRequest {
  const chance = (share: number): boolean => random.next() < share;
  const method = chance(0.95) ? operation.method : random.pick(METHODS);
  const inUrl = (): string => {
    const text = chance(0.6) ? random.pick(TAME) : random.pick(WILD);
    return chance(0.05) ? random.pick(RAW) : encodeURIComponent(text.toWellFormed());
  };
  let path = operation.path.replace(/\{\w+\}/g, inUrl);
  if (chance(0.02)) path += random.pick(['/', '//', '/..', '/%2e', ';x', '/x']);
  const pairs: string[] = [];
  for (const { name, in: place } of operation.parameters) {
    if (place !== 'query' || chance(0.6)) continue;
    pairs.push(`${name}=${inUrl()}`);
    if (chance(0.1)) pairs.push(`${name}=${inUrl()}`);
  }
  if (chance(0.05)) pairs.push(`${inUrl()}=${inUrl()}`);
  if (chance(0.03)) pairs.push(random.pick(RAW));
  const target = pairs.length === 0 ? path : `${path}?${pairs.join('&')}`;
  const headers: Record<string, string> & { origin?: string } = { ...credential(random) };
  if (chance(0.1))
    headers.origin = random.pick(['https://app.example.com', 'null', 'x', 'https://evil.example']);
  if (chance(0.1))
    headers['last-event-id'] = random.pick(['1a~0.b', '~~~', 'x', '1'.repeat(3000), '1~zzzzzzzzz.z~-']);
  if (chance(0.05)) headers['x-forwarded-for'] = random.pick(['1.2.3.4', 'x', '::1, 2.3.4.5', ',']);
  if (chance(0.05)) headers['x-request-id'] = random.pick(['abc', 'a b', 'x'.repeat(500)]);
  const hasBody = chance(operation.bodyExample === undefined ? 0.05 : 0.95);
  const body =
    hasBody && method !== 'GET' && method !== 'HEAD' ? fuzzedBody(operation.bodyExample, random) : undefined;
  if (body !== undefined) headers['content-type'] = chance(0.9) ? 'application/json' : random.pick(TYPES);
  return { method, target, headers, body };
}

function credential(random: Random): Record<string, string> {
  const value = random.next();
  if (value < 0.75) return { 'x-api-key': MASTER_KEY };
  if (value < 0.8) return { authorization: `Bearer ${makeJwt({ sub: '7', channels: ['task:*'] })}` };
  if (value < 0.85) return {};
  if (value < 0.9) return { 'x-api-key': keyText('reader') };
  return random.pick([
    { authorization: 'Bearer' },
    { authorization: 'Bearer a.b.c' },
    { authorization: `Bearer ${'e'.repeat(6000)}` },
    { 'x-api-key': 'é'.normalize('NFD').replace(/[^ -~]/g, '?') },
    { cookie: 'login=; login=x; ;;=' },
    { authorization: 'Bearer x', 'x-api-key': 'y' },
  ]);
}

function fuzzedBody(example: Json | undefined, random: Random): Uint8Array {
  const value = random.next();
  if (value < 0.03) return new Uint8Array(0);
  if (value < 0.06) return Uint8Array.from({ length: 50 }, () => random.between(0, 255));
  let json = JSON.stringify(mutated(example ?? {}, random, random.between(0, 3)));
  if (value < 0.1) json = json.slice(0, random.between(0, json.length));
  else if (value < 0.12) json = `${'['.repeat(2000)}${']'.repeat(2000)}`;
  else if (value < 0.14)
    json = json.replace(/[{,]/, (sign) => `${sign}"__proto__":{"a":1},`).replace(',}', '}');
  return Buffer.from(json);
}

/** A copy of the value with `changes` random changes. */
function mutated(value: Json, random: Random, changes: number): Json {
  let result = structuredClone(value);
  for (let i = 0; i < changes; i++) result = change(result, random);
  return result;
}

function change(value: Json, random: Random): Json {
  if (typeof value !== 'object' || value === null || random.next() < 0.15) return anything(random);
  if (Array.isArray(value)) {
    if (value.length === 0 || random.next() < 0.3) return [...value, anything(random)];
    const at = random.between(0, value.length - 1);
    return value.map((item, i) => (i === at ? change(item, random) : item));
  }
  const names = Object.keys(value);
  const name = names.length === 0 || random.next() < 0.2 ? random.pick(WILD) : random.pick(names);
  if (random.next() < 0.2) {
    const { [name]: _, ...rest } = value;
    return rest;
  }
  return { ...value, [name]: change(value[name] ?? null, random) };
}

function anything(random: Random): Json {
  return random.pick<Json>([
    null,
    true,
    false,
    0,
    -1,
    1.5,
    1e308,
    2 ** 53,
    '',
    [],
    {},
    [[]],
    { a: { b: {} } },
    ['a', 1, null],
    random.pick(TAME),
    random.pick(WILD),
    '\ud800',
  ]);
}
