import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePlainHead } from './front-request.ts';

/** Hands bytes to Node's own HTTP parser; undefined when it refuses them. */
async function parseByNode(head: string): Promise<IncomingMessage | undefined> {
  const server = createServer({ maxHeaderSize: 1 << 20 });
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const outcome = Promise.race([
    once(server, 'request').then(([request]) => request as IncomingMessage),
    once(server, 'clientError').then(() => undefined),
  ]);
  server.emit('connection', socket);
  socket.push(Buffer.from(head, 'latin1'));
  const request = await outcome;
  socket.destroy();
  return request;
}

const TOKEN_CHARS = "!#$%&'*+-.^_`|~0129abcXYZ";
const oneOf = (chars: string) => fc.constantFrom(...Array.from(chars));
const anyByte = fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 1 });
/** Mostly as it should be, so that a good share is accepted. */
const mostly = <T>(usual: fc.Arbitrary<T>, odd: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 20, arbitrary: usual }, { weight: 1, arbitrary: odd });

const target = mostly(
  fc.string({ unit: oneOf('/abz09?&=%~.{}|"<>^`\\;:@!$[]'), maxLength: 20 }),
  fc.string({ unit: mostly(oneOf('/abz09?#'), anyByte), maxLength: 20 }),
).map((rest) => `/${rest}`);
const name = mostly(
  fc.string({ unit: oneOf(TOKEN_CHARS), minLength: 1, maxLength: 8 }),
  fc.oneof(
    fc.constantFrom(
      'Host',
      'Content-Length',
      'Connection',
      'Transfer-Encoding',
      'Expect',
      'Trailer',
      'Upgrade',
    ),
    fc.string({ unit: 'binary-ascii', maxLength: 4 }),
  ),
);
const value = mostly(
  fc.string({ unit: oneOf('abcXYZ019 ,;:="\t()<>@'), maxLength: 12 }),
  fc.oneof(
    fc.string({ unit: 'binary-ascii', maxLength: 10 }),
    fc.constantFrom('0', '5', '007', '+5', '5 5', '5,5', 'close', 'keep-alive', 'chunked', '\x80', 'é'),
  ),
);
const space = fc.constantFrom('', ' ', '\t', ' \t ');
const line = mostly(
  fc.tuple(name, space, value, space).map(([n, before, v, after]) => `${n}:${before}${v}${after}`),
  fc.constantFrom('', ' folded', 'no colon', ':', 'Host : h', 'X: y\nZ: 1', 'X: y\rZ: 1'),
);
const head = fc
  .record({
    start: mostly(
      fc.constantFrom<string[]>(['GET', ''], ['POST', 'Content-Length: 0'], ['POST', 'content-length:3']),
      fc.constantFrom<string[]>(
        ['GET', 'Content-Length: 0'],
        ['POST', ''],
        ['HEAD', ''],
        ['get', ''],
        ['GET ', ''],
      ),
    ),
    target,
    version: mostly(fc.constant('HTTP/1.1'), fc.constantFrom('HTTP/1.0', 'HTTP/2.0', 'http/1.1')),
    lines: fc.array(line, { maxLength: 4 }),
  })
  .map(({ start: [method = '', length = ''], target: path, version, lines }) =>
    [`${method} ${path} ${version}`, 'Host: h', ...(length === '' ? [] : [length]), ...lines].join('\r\n'),
  );

describe('a plain head', () => {
  it("that is accepted is read the same by Node's own parser", async () => {
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(head, async (text) => {
        const plain = parsePlainHead(text);
        if (plain === undefined) return;
        accepted++;
        const request = await parseByNode(`${text}\r\n\r\n`);
        expect(request, text).toBeDefined();
        expect(request?.method).toBe(plain.method);
        expect(request?.url).toBe(plain.target);
        expect(Number(request?.headers['content-length'] ?? 0)).toBe(plain.contentLength);
        const byNode = new Map<string, string>();
        for (const [name, values] of Object.entries(request?.headersDistinct ?? {})) {
          byNode.set(name, (values as string[]).join('\n'));
        }
        expect(plain.headers).toEqual(byNode);
      }),
      { numRuns: 2000 },
    );
    expect(accepted).toBeGreaterThan(500);
  });

  it('gives method, target, headers by lower-case name and the length of the body', () => {
    const text = 'POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nX-Y: \t one two\t ';
    expect(parsePlainHead(text)).toEqual({
      method: 'POST',
      target: '/a?b=c',
      headers: new Map([
        ['host', 'h'],
        ['content-length', '12'],
        ['x-y', 'one two'],
      ]),
      contentLength: 12,
    });
  });

  it.each([
    ['a second length', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1'],
    ['chunks', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked'],
    ['no length', 'POST / HTTP/1.1\r\nHost: h'],
    ['a length of another form', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1'],
    ['a GET with a body', 'GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1'],
    ['no host', 'GET / HTTP/1.1\r\nX: y'],
    ['a folded line', 'GET / HTTP/1.1\r\nHost: h\r\n x'],
    ['a space before the colon', 'GET / HTTP/1.1\r\nHost : h'],
    ['a bare line feed', 'GET / HTTP/1.1\r\nHost: h\nX: y'],
    ['a bare carriage return', 'GET / HTTP/1.1\r\nHost: h\rX: y'],
    ['a NUL', 'GET / HTTP/1.1\r\nHost: h\0'],
    ['an upgrade', 'GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade'],
    ['an older version', 'GET / HTTP/1.0\r\nHost: h'],
    ['an absolute target', 'GET http://h/ HTTP/1.1\r\nHost: h'],
  ])('is not one with %s', (_, text) => {
    expect(parsePlainHead(text)).toBeUndefined();
  });

  it('is read in time that grows with its length, whatever it holds', () => {
    const started = performance.now();
    for (const value of [' ', '\t', 'a ', ' a', 'a']) {
      parsePlainHead(`GET / HTTP/1.1\r\nHost: h\r\nX: ${value.repeat(200_000)}\x80`);
    }
    // The square of these lengths would take minutes.
    expect(performance.now() - started).toBeLessThan(2000);
  });
});
