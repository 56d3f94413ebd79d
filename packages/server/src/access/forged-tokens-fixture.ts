/**
 * Forged tokens: made without the key, or with the key but with unacceptable claims. Every one must be refused.
 */
import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import {
  AUDIENCE,
  goodClaims,
  hmacToken,
  ISSUER,
  NOW_SECONDS,
  part,
  pemOf,
  rsa,
  rsaToken,
  SECRET,
} from './jwt-fixture.ts';

export interface Forgery {
  readonly name: string;
  readonly token: string;
  /** The signature is valid; the claims are not. */
  readonly isSigned?: true;
}

const HS = { alg: 'HS256', typ: 'JWT' };
const RS = { alg: 'RS256', typ: 'JWT' };
const claims = goodClaims();
const VICTIM = goodClaims({ sub: 'victim' });
const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 });
const publicPem = pemOf(rsa.publicKey);
const strangersJwk = { ...stranger.publicKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' };

function forged(name: string, token: string): Forgery {
  return { name, token };
}
function signed(name: string, token: string): Forgery {
  return { name, token, isSigned: true };
}

function spliced(token: string, change: (parts: string[]) => void): string {
  const parts = token.split('.');
  change(parts);
  return parts.join('.');
}

/** Sets the unused bits of the last character: decoders read the same bytes. */
function looseEnd(text: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return text.slice(0, -1) + alphabet[alphabet.indexOf(text.at(-1) as string) + 1];
}

/** `toToken` signs with the key that the attacker hopes the kid leads to. */
function kidForgeries(header: object, toToken: (header: unknown, claims: unknown) => string): Forgery[] {
  const attempts: [string, string][] = [
    ['a path', '../../../../dev/null'],
    ['an absolute path', '/etc/hostname'],
    ['a file URL', 'file:///dev/null'],
    ['a URL', 'https://evil.example/key'],
    ['an SQL injection', "x' UNION SELECT '"],
    ['a command', '| cat /dev/null'],
    ['a path with a zero byte', '/dev/null\0.pem'],
    ['a member of the prototype', '__proto__'],
  ];
  return attempts.map(([name, kid]) => forged(`a kid that is ${name}`, toToken({ ...header, kid }, VICTIM)));
}

/** `toToken` makes a token that is valid except for its header. */
function headerForgeries(
  header: { alg: string },
  toToken: (header: unknown, claims: unknown) => string,
): Forgery[] {
  const attempts: [string, object][] = [
    ['a kid that is an object', { kid: { toString: 'x' } }],
    ['a kid that is a number', { kid: 1 }],
    ['a kid that is empty', { kid: '' }],
    ['a kid with control characters', { kid: 'a\r\nb\0' }],
    ['a kid of 4 KB', { kid: 'k'.repeat(4096) }],
    ['its own key as jwk', { jwk: strangersJwk }],
    ['a symmetric jwk', { jwk: { kty: 'oct', k: part('mine') } }],
    ['a jku of its own', { jku: 'https://evil.example/jwks.json' }],
    ['a jku that is a file', { jku: 'file:///tmp/jwks.json' }],
    ['an x5u of its own', { x5u: 'https://evil.example/cert.pem' }],
    ['its own certificate as x5c', { x5c: ['MIIBIjANBgkq'] }],
    ['crit with an extension', { crit: ['exp'], exp: 1 }],
    ['crit that is empty', { crit: [] }],
    ['crit with b64', { crit: ['b64'], b64: false }],
    ['b64 alone', { b64: false }],
    ['zip', { zip: 'DEF' }],
    ['enc', { enc: 'A256GCM' }],
    ['a nested token', { cty: 'JWT' }],
    ['the type of a logout token', { typ: 'logout+jwt' }],
    ['the type of a security event', { typ: 'secevent+jwt' }],
    ['the type of an encrypted token', { typ: 'JWE' }],
    ['a type that is no text', { typ: ['JWT'] }],
    ['a type that is null', { typ: null }],
  ];
  return attempts
    .map(([name, more]) => forged(name, toToken({ ...header, ...more }, VICTIM)))
    .concat([
      forged('alg that is an array', toToken({ ...header, alg: [header.alg] }, VICTIM)),
      forged('alg that is an object', toToken({ ...header, alg: { name: header.alg } }, VICTIM)),
      forged('alg with a space', toToken({ ...header, alg: `${header.alg} ` }, VICTIM)),
      forged('alg in lower case', toToken({ ...header, alg: header.alg.toLowerCase() }, VICTIM)),
      forged('alg of the prototype', toToken({ ...header, alg: 'constructor' }, VICTIM)),
      forged('alg twice, the last one none', toToken(`{"alg":"${header.alg}","alg":"none"}`, VICTIM)),
      forged('no alg', toToken({ typ: 'JWT' }, VICTIM)),
      forged('a header that is an array', toToken([header], VICTIM)),
      forged('a header that is text', toToken('"HS256"', VICTIM)),
      forged('a header that is null', toToken('null', VICTIM)),
      forged('a header that is no JSON', toToken('{"alg":', VICTIM)),
    ]);
}

/** Forgeries for any key: malformed tokens, and parts that differ from what was signed. */
function formForgeries(good: string): Forgery[] {
  const [header = '', payload = '', signature = ''] = good.split('.');
  const victim = part(VICTIM);
  const doubled = part(
    JSON.stringify(claims).replace('{', '{"sub":"victim",').replace('}', ',"sub":"victim"}'),
  );
  return [
    forged('nothing', ''),
    forged('dots', '..'),
    forged('one part', header),
    forged('two parts', `${header}.${payload}`),
    forged('four parts', `${good}.${signature}`),
    forged('five parts, as an encrypted token has', `${good}.a.b`),
    forged('an empty signature', `${header}.${payload}.`),
    forged('an empty payload', `${header}..${signature}`),
    forged('an empty header', `.${payload}.${signature}`),
    forged("another user's claims", `${header}.${victim}.${signature}`),
    forged('claims named twice', `${header}.${doubled}.${signature}`),
    forged('another end', `${header}.${part({ ...claims, exp: NOW_SECONDS + 1e9 })}.${signature}`),
    forged('a payload that is no JSON', `${header}.${part('hello')}.${signature}`),
    forged('a signature cut short', good.slice(0, -4)),
    forged('a signature with more behind it', `${good}AAAA`),
    forged(
      'a signature of zeros',
      spliced(good, (p) => (p[2] = 'A'.repeat(signature.length))),
    ),
    forged('padding', `${good}=`),
    forged(
      'the alphabet of plain base64',
      spliced(good, (p) => (p[1] = `${payload.slice(0, -1)}+`)),
    ),
    forged('a space', `${header}. ${payload}.${signature}`),
    forged('a line break at the end', `${good}\n`),
    forged(
      'a line break within',
      spliced(good, (p) => (p[2] = `${signature.slice(0, 5)}\n${signature.slice(5)}`)),
    ),
    forged('loose bits at the end of the signature', `${header}.${payload}.${looseEnd(signature)}`),
    forged('a zero byte', `${good}\0`),
    forged('letters of another script', good.replace('a', 'а')),
    forged('a megabyte of payload', `${header}.${part({ ...claims, x: 'x'.repeat(2 ** 20) })}.${signature}`),
    forged('a megabyte of dots', '.'.repeat(2 ** 20)),
    forged('deep JSON', `${header}.${part('['.repeat(4000))}.${signature}`),
    forged('a header of 3 KB', `${part({ alg: 'HS256', x: 'x'.repeat(3000) })}.${payload}.${signature}`),
  ];
}

/** Forgeries for any key: correctly signed tokens whose claims must be refused. */
function claimForgeries(toToken: (claims: unknown) => string): Forgery[] {
  const more = (change: object): string => toToken({ ...claims, ...change });
  const json = (from: string, to: string): string => toToken(JSON.stringify(claims).replace(from, to));
  const exp = `"exp":${NOW_SECONDS + 600}`;
  return [
    signed('expired', more({ exp: NOW_SECONDS - 6, iat: NOW_SECONDS - 700 })),
    signed('an end that is negative', more({ exp: -1 })),
    signed('an end that is zero', more({ exp: 0 })),
    signed('an end that is text', more({ exp: String(NOW_SECONDS + 600) })),
    signed('an end that is a time in text', more({ exp: '2030-01-01T00:00:00Z' })),
    signed('an end that is true', more({ exp: true })),
    signed('an end that is null', more({ exp: null })),
    signed('an end that is a list', more({ exp: [NOW_SECONDS + 600] })),
    signed('an end that is NaN', json(exp, '"exp":NaN')),
    signed(
      'an end that is infinite, and no beginning',
      toToken(`{"sub":"7","iss":"${ISSUER}","aud":"${AUDIENCE}","exp":1e400}`),
    ),
    signed('no end and no beginning', toToken({ sub: '7', iss: ISSUER, aud: AUDIENCE })),
    signed(
      'an end beyond the longest life, and no beginning',
      more({ iat: undefined, exp: NOW_SECONDS + 1e8 }),
    ),
    signed(
      'a life that is over, whatever its end says',
      more({ iat: NOW_SECONDS - 1e8, exp: NOW_SECONDS + 1e8 }),
    ),
    signed('not yet valid', more({ nbf: NOW_SECONDS + 6 })),
    signed('a beginning that is text', more({ nbf: '0' })),
    signed('made in the future', more({ iat: NOW_SECONDS + 6 })),
    signed('a time of making that is text', more({ iat: '0' })),
    signed('another issuer', more({ iss: 'https://evil.example/' })),
    signed('no issuer', more({ iss: undefined })),
    signed('an issuer that is a list', more({ iss: [ISSUER] })),
    signed('an issuer that begins like ours', more({ iss: `${ISSUER}evil` })),
    signed('another audience', more({ aud: 'another-service' })),
    signed('no audience', more({ aud: undefined })),
    signed('an audience that is an object', more({ aud: { [AUDIENCE]: true } })),
    signed('an audience in capitals', more({ aud: AUDIENCE.toUpperCase() })),
    signed('claims that are a list', toToken([claims])),
    signed('claims that are text', toToken('"7"')),
    signed('claims that are null', toToken('null')),
    signed('claims that are no JSON', toToken('{"sub":"7"')),
  ];
}

/** Forgeries against a service that verifies with `SECRET` and HS256. */
export function forgeriesOfSecret(): Forgery[] {
  const good = hmacToken(HS, claims);
  const unsigned = (alg: string): string => `${part({ alg, typ: 'JWT' })}.${part(VICTIM)}.`;
  return [
    ...['none', 'None', 'NONE', 'nOnE', ''].map((alg) =>
      forged(`alg ${alg || 'empty'}, unsigned`, unsigned(alg)),
    ),
    forged('alg none with a good signature', hmacToken({ alg: 'none' }, VICTIM)),
    forged('alg HS512 with a signature of HS256', hmacToken({ alg: 'HS512' }, VICTIM)),
    forged('alg RS256', rsaToken(RS, VICTIM)),
    forged('alg HMAC', hmacToken({ alg: 'HMAC' }, VICTIM)),
    ...['', ' ', 'secret', '\0', 'null', 'undefined', SECRET.toLowerCase(), `${SECRET} `].map((secret) =>
      forged(`the secret ${JSON.stringify(secret)}`, hmacToken(HS, VICTIM, secret)),
    ),
    forged(
      'a signature of SHA-1',
      `${part(HS)}.${part(VICTIM)}.${createHmac('sha1', SECRET)
        .update(`${part(HS)}.${part(VICTIM)}`)
        .digest('base64url')}`,
    ),
    ...formForgeries(good),
    ...kidForgeries(HS, (header, body) => hmacToken(header, body, '')),
    ...headerForgeries(HS, hmacToken),
    ...claimForgeries((value) => hmacToken(HS, value)),
  ];
}

/** Forgeries against a service that verifies with the public key of `rsa` and RS256. */
export function forgeriesOfPublicKey(): Forgery[] {
  const asSecret = (secret: string | Buffer): string => hmacToken(HS, VICTIM, secret);
  const der = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' }) as Buffer;
  const jwk = rsa.publicKey.export({ format: 'jwk' });
  return [
    forged('HS256 with the public key as the secret', asSecret(publicPem)),
    forged('HS256 with the public key without its line break', asSecret(publicPem.trimEnd())),
    forged('HS256 with the public key in Windows lines', asSecret(publicPem.replaceAll('\n', '\r\n'))),
    forged(
      'HS256 with the public key in PKCS #1',
      asSecret(rsa.publicKey.export({ type: 'pkcs1', format: 'pem' }) as string),
    ),
    forged('HS256 with the public key in DER', asSecret(der(rsa.publicKey))),
    forged('HS256 with the modulus', asSecret(Buffer.from(jwk.n as string, 'base64url'))),
    forged('HS256 with the JWK', asSecret(JSON.stringify(jwk))),
    forged('HS256 that says RS256', hmacToken(RS, VICTIM, publicPem)),
    forged('PS256 with a signature of RS256', rsaToken({ alg: 'PS256' }, VICTIM)),
    forged('RS512 with a signature of RS256', rsaToken({ alg: 'RS512' }, VICTIM)),
    forged('ES256', `${part({ alg: 'ES256' })}.${part(VICTIM)}.${part('x'.repeat(64))}`),
    forged('ES256 with r and s of zero', `${part({ alg: 'ES256' })}.${part(VICTIM)}.${'A'.repeat(86)}`),
    forged('EdDSA', `${part({ alg: 'EdDSA' })}.${part(VICTIM)}.${'A'.repeat(86)}`),
    forged("a stranger's key", rsaToken(RS, VICTIM, stranger.privateKey)),
    forged(
      "a stranger's key that it carries",
      rsaToken({ ...RS, jwk: strangersJwk }, VICTIM, stranger.privateKey),
    ),
    forged('none', `${part({ alg: 'none' })}.${part(VICTIM)}.`),
    ...formForgeries(rsaToken(RS, claims)),
    ...kidForgeries(RS, (header, body) => rsaToken(header, body, stranger.privateKey)),
    ...headerForgeries(RS, rsaToken),
    ...claimForgeries((value) => rsaToken(RS, value)),
  ];
}
