import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { IncomingStream } from '../stream/open-stream.ts';
import { Front } from './front.ts';

const SEND = '/sse/api/v1/messages/send';
const post = (body: string, headers = '', target = SEND): string =>
  `POST ${target} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
const KEEP_ALIVE = 'Connection: keep-alive\r\nKeep-Alive: timeout=75\r\n';
const CLOSE = 'Connection: close\r\n';
const headOf = (text: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n`;
const reply = (text: string): string => `${headOf(text)}${KEEP_ALIVE}\r\n${text}`;
/** What an answer says of the body that it answers, so that it can be told from another's. */
const answerOf = (body: string): string => reply(`published ${body}`);
const lastAnswerOf = (body: string): string => answerOf(body).replace(KEEP_ALIVE, CLOSE);

describe('the front', () => {
  let front: Front;
  let http: Server;
  let nowMs: number;
  let published: string[];
  let streams: { incoming: IncomingStream; socket: Socket }[];
  let handedOver: string[];
  let publish: (body: string) => Promise<string>;
  let isRefused: () => Promise<boolean>;
  const peers: Socket[] = [];

  beforeEach(async () => {
    nowMs = 1000;
    published = [];
    streams = [];
    handedOver = [];
    publish = async (body) => `published ${body}`;
    isRefused = async () => false;
    http = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        handedOver.push(`${request.method} ${request.url} ${Buffer.concat(parts).toString()}`);
        response.end('from http');
      });
    });
    front = new Front({
      httpServer: http,
      openStream: (socket, incoming) => {
        if (incoming.target.includes('bad')) throw new Error('bad');
        socket.on('error', () => {});
        socket.resume();
        streams.push({ incoming, socket: socket as Socket });
        socket.write('stream');
      },
      publishes: {
        begin: ({ target, headers, contentLength }) =>
          target !== SEND || headers.has('origin') || contentLength > 1000
            ? undefined
            : {
                isRefused: () => isRefused(),
                answer: async (body) => {
                  const text = Buffer.from(body).toString();
                  published.push(text);
                  const answer = await publish(text);
                  return { head: headOf(answer), body: answer };
                },
              },
      },
      answers: {
        refusal: ({ status }, request) => ({
          status,
          headers: { 'x-request': request === undefined ? 'unread' : Object.values(request).join(' ') },
          body: '',
        }),
      },
      clientIp: () => '127.0.0.1',
      retriesElsewhere: (_socket, claim) => claim === '1',
      maxHeaderBytes: 4096,
      requestTimeoutMs: 10_000,
      keepAliveMs: 75_000,
      now: () => nowMs,
    });
    front.server.listen(0, '127.0.0.1');
    await once(front.server, 'listening');
  });
  afterEach(() => {
    for (const peer of peers.splice(0)) peer.destroy();
    for (const { socket } of streams) socket.destroy();
    front.close();
    http.closeAllConnections();
    vi.useRealTimers();
  });

  const open = (): { socket: Socket; text: () => string; closed: Promise<unknown> } => {
    const socket = connect({
      port: (front.server.address() as AddressInfo).port,
      host: '127.0.0.1',
      allowHalfOpen: true,
      noDelay: true,
    });
    peers.push(socket);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    socket.on('error', () => {});
    return { socket, text: () => text, closed: once(socket, 'end').catch(() => undefined) };
  };

  it('answers publishes on one connection one after the other, in their order, however they are cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'grapheme', maxLength: 20 }), { minLength: 1, maxLength: 5 }),
        fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 12 }),
        async (bodies, cuts) => {
          let underWay = 0;
          publish = async (body) => {
            expect(++underWay).toBe(1);
            await new Promise((resolve) => setImmediate(resolve));
            underWay--;
            return encodeURIComponent(body);
          };
          published = [];
          const bytes = Buffer.from(bodies.map((body) => post(body)).join(''));
          const { socket, text } = open();
          let at = 0;
          for (const size of cuts) {
            socket.write(bytes.subarray(at, at + size));
            at += size;
            await new Promise((resolve) => setImmediate(resolve));
          }
          socket.write(bytes.subarray(at));
          const expected = bodies.map((body) => reply(encodeURIComponent(body))).join('');
          await vi.waitFor(() => expect(text()).toBe(expected), { interval: 1 });
          expect(published).toEqual(bodies);
          socket.destroy();
        },
      ),
      { numRuns: 60 },
    );
    expect(handedOver).toEqual([]);
  });

  it('answers everything that was sent before the peer closed its side', async () => {
    publish = async (body) => {
      // Long enough for the end of the peer's side to come in between.
      await new Promise((resolve) => setTimeout(resolve, 10));
      return `published ${body}`;
    };
    const { socket, text, closed } = open();
    socket.end(post('1') + post('2') + post('3'));
    await closed;
    expect(text()).toBe(answerOf('1') + answerOf('2') + lastAnswerOf('3'));
  });

  it('closes a connection whose peer leaves an unfinished request', async () => {
    for (const text of ['', 'POST /sse', post('1').slice(0, -1), post('1') + post('2').slice(0, -1)]) {
      const { socket, closed } = open();
      socket.end(text);
      await closed;
    }
    expect(published).toEqual(['1']);
  });

  it('serves nothing after an answer that was asked to be the last', async () => {
    const { socket, text, closed } = open();
    socket.write(post('1', 'Connection: Close\r\n'));
    await vi.waitFor(() => expect(text()).toBe(lastAnswerOf('1')));
    socket.write(post('2'));
    await closed;
    socket.end();
    await new Promise((resolve) => setImmediate(resolve));
    expect(published).toEqual(['1']);
    expect(text()).toBe(lastAnswerOf('1'));
  });

  it('while it drains, answers what has been sent ahead, and says with the last answer that it is the last', async () => {
    const { socket, text, closed } = open();
    socket.write(post('1'));
    await vi.waitFor(() => expect(text()).toBe(answerOf('1')));
    front.drain({ keepsListening: true });
    const newcomer = open();
    newcomer.socket.write(post('4'));
    socket.write(post('2') + post('3'));
    await closed;
    expect(text()).toBe(answerOf('1') + answerOf('2') + lastAnswerOf('3'));
    await newcomer.closed;
    expect(newcomer.text()).toBe(lastAnswerOf('4'));
  });

  it('accepts nobody while it drains, where others have the same port', async () => {
    const { socket, text, closed } = open();
    await once(socket, 'connect');
    front.drain({ keepsListening: false });
    expect(front.server.listening).toBe(false);
    socket.write(post('1'));
    await closed;
    expect(text()).toContain('Connection: close');
  });

  it('holds no more than one answer beyond what a peer reads', async () => {
    const big = reply('x'.repeat(1_000_000));
    publish = async () => 'x'.repeat(1_000_000);
    const { socket, text } = open();
    socket.pause();
    const requests = 60;
    socket.write(post('1').repeat(requests));
    // Kernel buffers take some of it; then it stands still.
    let before = -1;
    await vi.waitFor(
      () => {
        const isStill = published.length === before;
        before = published.length;
        expect(isStill).toBe(true);
      },
      { interval: 100, timeout: 5000 },
    );
    expect(published.length).toBeLessThan(requests);
    socket.resume();
    await vi.waitFor(() => expect(text().length).toBe(big.length * requests), { timeout: 5000 });
  });

  it('cuts a peer that does not read its answers', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    front.start();
    publish = async () => 'x'.repeat(30_000_000);
    const { socket } = open();
    socket.pause();
    socket.write(post('1'));
    await vi.waitFor(() => expect(published).toHaveLength(1));
    const count = (): Promise<number> =>
      new Promise((resolve, reject) =>
        front.server.getConnections((error, n) => (error === null ? resolve(n) : reject(error))),
      );
    await new Promise((resolve) => setImmediate(resolve));
    expect(await count()).toBe(1);
    nowMs += 10_001;
    vi.advanceTimersByTime(1000);
    await vi.waitFor(async () => expect(await count()).toBe(0));
  });

  it('lets go of an idle connection in silence, and of a late request with a word', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    front.start();
    const idle = open();
    idle.socket.write(post('1'));
    const late = open();
    late.socket.write('POST /sse');
    await vi.waitFor(() => expect(idle.text()).toBe(answerOf('1')));
    nowMs += 10_001;
    vi.advanceTimersByTime(1000);
    await late.closed;
    expect(late.text()).toMatch(/^HTTP\/1\.1 408 [\s\S]*x-request: unread\r\n/);
    nowMs += 75_000;
    vi.advanceTimersByTime(1000);
    await idle.closed;
    expect(idle.text()).toBe(answerOf('1'));
  });

  it('refuses a publish whose body does not come as the request that it is', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    front.start();
    const head = post('1', 'X-Request-ID: r1\r\n').slice(0, -1);
    const asked = `x-request: r1 POST ${SEND}\r\n`;
    const cut = open();
    cut.socket.end(head);
    await cut.closed;
    expect(cut.text()).toMatch(/^HTTP\/1\.1 400 /);
    expect(cut.text()).toContain(asked);
    const late = open();
    late.socket.write(head);
    // Answered after the head of the other one was read.
    const other = open();
    other.socket.write(post('2'));
    await vi.waitFor(() => expect(other.text()).toBe(answerOf('2')));
    nowMs += 10_001;
    vi.advanceTimersByTime(1000);
    await late.closed;
    expect(late.text()).toMatch(/^HTTP\/1\.1 408 /);
    expect(late.text()).toContain(asked);
  });

  it('hands a plain request for a stream to the opener, with the bare socket', async () => {
    const { socket, text } = open();
    socket.write('GET /sse/user/1?since=all HTTP/1.1\r\nHost: h\r\nLast-Event-ID: c~1\r\nOrigin: o\r\n\r\n');
    await vi.waitFor(() => expect(text()).toBe('stream'));
    const { parts, ...incoming } = streams[0]?.incoming ?? {};
    expect(parts?.()).toMatchObject({ origin: 'o', host: 'h', isSafe: true });
    expect(incoming).toEqual({
      target: '/sse/user/1?since=all',
      lastEventId: 'c~1',
      origin: 'o',
      clientIp: '127.0.0.1',
      isRetriedElsewhere: false,
    });
    expect(streams[0]?.socket.listenerCount('data')).toBe(0);
  });

  it('hands everything else to the HTTP server, with every byte that was read', async () => {
    const requests: [string, string][] = [
      ['GET / HTTP/1.1\r\nHost: h\r\n\r\n', 'GET / '],
      ['PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc', 'PUT /x abc'],
      [
        `POST ${SEND} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
        `POST ${SEND} abc`,
      ],
      [post('x'.repeat(1001)), `POST ${SEND} ${'x'.repeat(1001)}`],
      [post('{}', 'Origin: o\r\n'), `POST ${SEND} {}`],
      ...['?', '?ack=', '?ack=x', '?ack=%73tored', '?ack=stored&ack=replicated', '?a=1&ack=stored'].map(
        (query): [string, string] => [post('{}', '', SEND + query), `POST ${SEND + query} {}`],
      ),
      ['GET /sse/user/bad HTTP/1.1\r\nHost: h\r\n\r\n', 'GET /sse/user/bad '],
      [`GET /sse/user/1 HTTP/1.1\r\nHost: h\r\nX: ${'y'.repeat(3000)}é\r\n\r\n`, 'GET /sse/user/1 '],
    ];
    for (const [request, seen] of requests) {
      for (const cut of [0, 1, 20, Buffer.byteLength(request) - 1]) {
        handedOver = [];
        const { socket, text } = open();
        const bytes = Buffer.from(request, 'latin1');
        socket.write(bytes.subarray(0, cut));
        await new Promise((resolve) => setImmediate(resolve));
        socket.write(bytes.subarray(cut));
        await vi.waitFor(() => expect(text()).toContain('from http'), { interval: 2 });
        expect(handedOver).toEqual([seen]);
        socket.destroy();
      }
    }
    expect(published).toEqual([]);
  });

  it('hands over what follows a publish on the same connection', async () => {
    const { socket, text } = open();
    socket.write(`${post('1')}GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
    await vi.waitFor(() => expect(text()).toContain('from http'));
    expect(text().startsWith(answerOf('1'))).toBe(true);
    expect(handedOver).toEqual(['GET / ']);
  });

  it('refuses before its body comes what it will not take, and takes the body of what it may', async () => {
    const body = 'x'.repeat(500);
    const half = post(body).slice(0, -250);
    isRefused = async () => true;
    const refused = open();
    refused.socket.write(half);
    await refused.closed;
    // Answered without a byte of its body.
    expect(refused.text()).toBe(lastAnswerOf(''));
    expect(published.splice(0)).toEqual(['']);

    // Whatever is found out about it once it is whole is in its answer.
    const late = Promise.withResolvers<boolean>();
    const isAsked = Promise.withResolvers<void>();
    isRefused = () => {
      isAsked.resolve();
      return late.promise;
    };
    const whole = open();
    whole.socket.write(half);
    await isAsked.promise;
    whole.socket.write(post(body).slice(-250));
    await vi.waitFor(() => expect(whole.text()).toContain(`published ${body}`));
    late.resolve(true);
    whole.socket.write(post('next'));
    await vi.waitFor(() => expect(whole.text()).toContain('published next'));
    expect(whole.text()).toBe(answerOf(body) + answerOf('next'));
  });

  it('refuses a head beyond its bound', async () => {
    const { socket, text } = open();
    socket.write(`GET /sse/user/1 HTTP/1.1\r\nHost: h\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`);
    await vi.waitFor(() => expect(text()).toMatch(/^HTTP\/1\.1 431 /));
    expect(streams).toEqual([]);
  });

  it('survives garbage of any kind', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.boolean(), async (bytes, isAfterPost) => {
        const { socket, closed } = open();
        socket.end(Buffer.concat([Buffer.from(isAfterPost ? post('1') : ''), bytes]));
        await closed;
      }),
      { numRuns: 60 },
    );
  });

  it('lets go of idle connections when it closes, and answers what is under way', async () => {
    let answer = (_: string): void => {};
    publish = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    const idle = open();
    await once(idle.socket, 'connect');
    const busy = open();
    busy.socket.write(post('1'));
    const late = open();
    const request = post('22');
    late.socket.write(request.slice(0, -2));
    await vi.waitFor(() => expect(published).toEqual(['1']));
    await new Promise((resolve) => setTimeout(resolve, 20));
    front.close();
    await idle.closed;
    answer('published 1');
    await busy.closed;
    expect(busy.text()).toBe(lastAnswerOf('1'));
    late.socket.write(request.slice(-2));
    await vi.waitFor(() => expect(published).toEqual(['1', '22']));
    answer('published 22');
    await late.closed;
    expect(late.text()).toBe(lastAnswerOf('22'));
  });
});
