/**
 * Requests that no HTTP library writes. Each is refused clearly or answered according to its meaning; the fast lane and
 * the full one (which a header `Origin` leads to) answer alike; the next request is never affected.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { request } from '../support/http/http.ts';
import { converse, type RawAnswer } from '../support/http/raw-connection.ts';
import { readHistory } from '../support/messages/history.ts';
import { TestServer } from '../support/service/server.ts';

const SEND = '/sse/api/v1/messages/send';
const MAX_MESSAGE = 512 * 1024;
/** A request with an origin does not take the fast lane. */
const LANES = { plain: '', full: 'Origin: http://page.example\r\n' } as const;
type Lane = (typeof LANES)[keyof typeof LANES];

function bodyWith(data: string): string {
  return `{"type":"info","service":"s","target":{"user_id":"raw"},"data":${data}}`;
}
const GOOD = bodyWith('{"text":"好"}');
const GOOD_BYTES = Buffer.byteLength(GOOD);

interface Head {
  readonly method?: string;
  readonly path?: string;
  readonly version?: string;
  readonly host?: string;
  /** Header lines with their line ends. */
  readonly type?: string;
  readonly length?: string;
  readonly more?: string;
}

type Message = (lane: Lane) => Buffer;

function post(body: string | Uint8Array, head: Head = {}): Message {
  const {
    method = 'POST',
    path = SEND,
    version = '1.1',
    host = 'Host: localhost\r\n',
    type = 'Content-Type: application/json\r\n',
    length = `Content-Length: ${Buffer.byteLength(body)}\r\n`,
    more = '',
  } = head;
  return (lane) =>
    Buffer.concat([
      Buffer.from(`${method} ${path} HTTP/${version}\r\n${host}${lane}${type}${more}${length}\r\n`, 'latin1'),
      Buffer.from(body),
    ]);
}

function get(path: string, more = ''): Message {
  return (lane) => Buffer.from(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${lane}${more}\r\n`, 'latin1');
}

const rewritten =
  (message: Message, rewrite: (text: string) => string): Message =>
  (lane) =>
    Buffer.from(rewrite(message(lane).toString('latin1')), 'latin1');

const CHUNKED = 'Transfer-Encoding: chunked\r\n';
const chunk = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const chunked = (text: string): string => `${chunk(text)}0\r\n\r\n`;
const type = (value: string): Head => ({ type: `Content-Type: ${value}\r\n` });

let server: TestServer;
let pid: number;
/** The number of answers that acknowledged a message. */
let stored = 0;

beforeAll(async () => {
  server = await TestServer.start({
    env: { MAX_MESSAGE_SIZE: String(MAX_MESSAGE), MAX_BATCH_BYTES: '1MB' },
  });
  pid = server.pid;
});
afterAll(() => server?.dispose());

function codeOf(answer: RawAnswer | undefined): string | undefined {
  if (answer === undefined || answer.body === '') return undefined;
  const { status_code: status, code, error } = JSON.parse(answer.body);
  if (answer.status < 400) return undefined;
  expect(error).toBe(true);
  expect(status).toBe(answer.status);
  return code;
}

const fieldsOf = ({ body }: RawAnswer): string[] =>
  (JSON.parse(body).details as { field: string }[]).map(({ field }) => field);

/** The only answer to a request; checks that a following one on another connection is served as usual. */
async function answerTo(message: Buffer): Promise<RawAnswer> {
  const { answers } = await converse(server.port, { pieces: [message], answers: 1 });
  expect(answers).toHaveLength(1);
  const answer = answers[0] as RawAnswer;
  if (answer.status === 200 && answer.body.includes('message_id')) stored++;
  const next = await request(server.url + SEND, { method: 'POST', body: GOOD });
  expect(next.status).toBe(200);
  stored++;
  return answer;
}

async function refuses(message: Message, status: number, code: string): Promise<void> {
  await refusal(message, status, code);
}

/** Sends it on both lanes and returns the answer of the fast one. */
async function refusal(message: Message, status: number, code: string): Promise<RawAnswer> {
  const answers: RawAnswer[] = [];
  for (const lane of Object.values(LANES)) {
    const answer = await answerTo(message(lane));
    expect({ status: answer.status, code: codeOf(answer) }, answer.body).toEqual({ status, code });
    answers.push(answer);
  }
  return answers[0] as RawAnswer;
}

describe('a body is refused as malformed JSON when it', () => {
  test.each<[string, string | Uint8Array]>([
    ['is not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])],
    ['has a surrogate in UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    ['ends early', GOOD.slice(0, -2)],
    ['is empty', ''],
    ['is nothing but a NUL', '\0'],
    ['has a raw line break in a string', bodyWith('{"a":"x\ny"}')],
    ['opens 100,000 arrays', '['.repeat(100_000)],
    ['has something after its end', `${GOOD}x`],
    ['is no JSON', "{type:'info'}"],
  ])('%s', (_, body) => refuses(post(body), 400, 'malformed_json'));
});

describe('a body is refused by its field when it', () => {
  test.each<[string, string, string]>([
    ['nests 100,000 arrays in data', bodyWith(`{"a":${'['.repeat(1e5)}${']'.repeat(1e5)}}`), 'data.a[0]'],
    ['nests 100,000 arrays', '['.repeat(1e5) + ']'.repeat(1e5), '[0][0]'],
    ['is null', 'null', 'body'],
    ['is a string', '"{}"', 'body'],
    ['has CR and LF in its id', GOOD.replace('{', '{"id":"a\\r\\nb",'), 'id'],
    ['has NUL in its service', GOOD.replace('"s"', '"a\\u0000"'), 'service'],
    ['has LF in a target', GOOD.replace('"raw"', '"a\\u000ab"'), 'target.user_id'],
    ['names a prototype', bodyWith('{"a":{"__proto__":{}}}'), 'data.a.__proto__'],
    ['has a lone surrogate', bodyWith('{"a":"\\ud800"}'), 'data.a'],
    ['has two targets of which the last is wrong', GOOD.replace('}', ',"user_id":7}'), 'target.user_id'],
  ])('%s', async (_, body, field) => {
    const answer = await refusal(post(body), 422, 'validation_failed');
    expect(fieldsOf(answer)[0]?.startsWith(field)).toBe(true);
  });
});

describe('a body is too large when it', () => {
  const large = bodyWith(`{"a":"${'x'.repeat(MAX_MESSAGE)}"}`);
  test.each<[string, Message]>([
    ['is', post(large)],
    ['only says so', post('', { length: 'Content-Length: 9999999999\r\n' })],
    ['comes in chunks', post(chunked(large), { length: CHUNKED })],
  ])('%s', (_, message) => refuses(message, 413, 'message_too_large'));
});

describe('a body is not taken for JSON when it', () => {
  test.each<[string, Head]>([
    ['is text', type('text/plain')],
    ['is a form', type('application/x-www-form-urlencoded')],
    ['has parts', type('multipart/form-data; boundary=x')],
    ['is something like JSON', type('application/ld+json')],
    ['has another charset', type('application/json; charset=latin1')],
    ['has a type that cannot be read', type(';;;')],
    ['is compressed', { more: 'Content-Encoding: gzip\r\n' }],
  ])('%s', (_, head) => refuses(post(GOOD, head), 415, 'unsupported_media_type'));
});

describe('a request is no HTTP that can be read when it', () => {
  const length = (line: string): Message => post(GOOD, { length: line });
  test.each<[string, Message]>([
    ['gives its length twice', post(GOOD, { more: `Content-Length: ${GOOD_BYTES}\r\n` })],
    ['gives two lengths', post(GOOD, { more: 'Content-Length: 5\r\n' })],
    ['gives a list of lengths', length(`Content-Length: ${GOOD_BYTES}, ${GOOD_BYTES}\r\n`)],
    ['has a negative length', length('Content-Length: -5\r\n')],
    ['has a length with a sign', length(`Content-Length: +${GOOD_BYTES}\r\n`)],
    ['has a length in hexadecimal', length('Content-Length: 0x70\r\n')],
    ['has a length beyond all numbers', length('Content-Length: 99999999999999999999999\r\n')],
    ['has a length folded onto a second line', length(`Content-Length:\r\n ${GOOD_BYTES}\r\n`)],
    ['has a space before a colon', length(`Content-Length : ${GOOD_BYTES}\r\n`)],
    ['has a length and chunks', post(chunked(GOOD), { more: CHUNKED })],
    ['has chunks of no size', post(`zz\r\n${GOOD}\r\n0\r\n\r\n`, { length: CHUNKED })],
    ['has chunks of a huge size', post(`${'f'.repeat(18)}\r\n${GOOD}\r\n0\r\n\r\n`, { length: CHUNKED })],
    ['has an unknown transfer coding', length('Transfer-Encoding: gzip\r\n')],
    ['is chunked twice', post(chunked(GOOD), { length: 'Transfer-Encoding: chunked, chunked\r\n' })],
    ['folds a header', post(GOOD, { more: 'X-A: 1\r\n 2\r\n' })],
    ['ends its lines with LF alone', rewritten(post(GOOD), (text) => text.replaceAll('\r\n', '\n'))],
    ['ends one line with LF alone', post(GOOD, { more: 'X-A: 1\n' })],
    ['has CR in a header', post(GOOD, { more: 'X-A: 1\rX-B: 2\r\n' })],
    ['has NUL in a header', post(GOOD, { more: 'X-A: a\0b\r\n' })],
    ['has a header without a colon', post(GOOD, { more: 'X-A\r\n' })],
    ['has a header without a name', post(GOOD, { more: ': 1\r\n' })],
    ['has a space in its target', post(GOOD, { path: '/sse/api v1' })],
    ['has raw UTF-8 in its target', post(GOOD, { path: '/sse/\xc3\xa9' })],
    ['is of a later version', post(GOOD, { version: '1.2' })],
    ['has an unknown method', post(GOOD, { method: 'BREW' })],
    ['writes its method small', post(GOOD, { method: 'post' })],
    ['names no host', post(GOOD, { host: '' })],
    ['names two hosts', post(GOOD, { more: 'Host: other\r\n' })],
    ['begins HTTP/2', () => Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')],
    ['begins TLS', () => Buffer.from('1603010200010001fc0303', 'hex')],
    ['has a control character in its cursor', get('/sse/user/a', 'Last-Event-ID: \x01\r\n')],
  ])('%s', (_, message) => refuses(message, 400, 'malformed_request'));

  test('has a head that is too large', async () => {
    await refusal(get(`/sse/user/a?x=${'y'.repeat(20_000)}`), 431, 'headers_too_large');
    await refusal(get('/sse/user/a', `X-A: ${'y'.repeat(20_000)}\r\n`), 431, 'headers_too_large');
  });
});

describe('a publish is taken for what it means when it', () => {
  test.each<[string, Message]>([
    ['is plain', post(GOOD)],
    ['begins with a byte order mark', post(`\ufeff${GOOD}`)],
    ['has no type', post(GOOD, { type: '' })],
    ['writes its type otherwise', post(GOOD, type('Application/JSON ; charset="UTF-8"'))],
    ['comes in chunks', post(chunk(GOOD.slice(0, 9)) + chunked(GOOD.slice(9)), { length: CHUNKED })],
    [
      'has a trailer',
      post(`${chunk(GOOD)}0\r\nX-Sum: 1\r\n\r\n`, { length: CHUNKED, more: 'Trailer: X-Sum\r\n' }),
    ],
    ['is HTTP/1.0', post(GOOD, { version: '1.0' })],
    ['is HTTP/1.0 without a host', post(GOOD, { version: '1.0', host: '' })],
    ['has bytes above ASCII in a header', post(GOOD, { more: 'X-A: \xe9\r\n' })],
    ['has an absolute target', post(GOOD, { path: `http://localhost${SEND}` })],
    ['has percent-encoded letters in its path', post(GOOD, { path: SEND.replace('send', '%73end') })],
    ['has a slash behind its path', post(GOOD, { path: `${SEND}/` })],
    ['has a query', post(GOOD, { path: `${SEND}?a=%` })],
    ['asks for another protocol', post(GOOD, { more: 'Connection: Upgrade\r\nUpgrade: websocket\r\n' })],
  ])('%s', async (_, message) => {
    for (const lane of Object.values(LANES)) {
      const answer = await answerTo(message(lane));
      expect(answer.status, answer.body).toBe(200);
    }
  });

  test('a publish that expects what nobody knows is refused', async () => {
    for (const lane of Object.values(LANES)) {
      const answer = await answerTo(post(GOOD, { more: 'Expect: tea\r\n' })(lane));
      expect({ status: answer.status, code: codeOf(answer) }).toEqual({
        status: 417,
        code: 'expectation_failed',
      });
    }
  });
});

describe('a path is', () => {
  test.each<[string, Message, number, string]>([
    ['unknown', get('/sse/none'), 404, 'not_found'],
    ['unknown with a body', post(GOOD, { path: '/sse/none' }), 404, 'not_found'],
    ['not tidied up', post(GOOD, { path: '/sse/api/v1/x/../messages/send' }), 404, 'not_found'],
    ['not of two slashes', post(GOOD, { path: `/${SEND}` }), 404, 'not_found'],
    ['no stream without an id', get('/sse/user/'), 404, 'not_found'],
    ['no stream with two ids', get('/sse/user/a/b'), 404, 'not_found'],
    ['not for this method', post(GOOD, { path: '/sse/user/a' }), 405, 'method_not_allowed'],
    ['not for this method either', get(SEND), 405, 'method_not_allowed'],
    ['malformed: one %', get('/sse/user/%'), 400, 'malformed_request'],
    ['malformed: %zz', get('/sse/user/%zz'), 400, 'malformed_request'],
    ['malformed: a surrogate', get('/sse/user/%ED%A0%80'), 400, 'malformed_request'],
    ['malformed: a slash of two bytes', get('/sse/user/%C0%AF'), 400, 'malformed_request'],
    ['malformed in its query', get('/sse/stream?user_id=%ED%A0%80'), 400, 'malformed_request'],
    ['malformed in the query of a user', get('/sse/user/a?channels=x%FF'), 400, 'malformed_request'],
    ['too long', get(`/sse/user/${'a'.repeat(5_000)}`), 400, 'malformed_request'],
  ])('%s', (_, message, status, code) => refuses(message, status, code));
});

describe('a stream is refused by its field when it has', () => {
  const many = Array.from({ length: 40 }, (_, i) => `c${i}`).join(',');
  test.each<[string, string, string[]]>([
    ['LF in its user', '/sse/user/a%0Ab', ['path.user_id']],
    ['CR in its user', '/sse/user/a%0D', ['path.user_id']],
    ['NUL in its user', '/sse/user/%00', ['path.user_id']],
    ['DEL in its user', '/sse/user/%7F', ['path.user_id']],
    ['LF in its user, in absolute form', 'http://localhost/sse/user/a%0Ab', ['path.user_id']],
    ['a long user', `/sse/user/${'a'.repeat(129)}`, ['path.user_id']],
    ['a long user of few characters', `/sse/user/${'%F0%9F%98%80'.repeat(33)}`, ['path.user_id']],
    ['LF in its task', '/sse/task/a%0Ab', ['path.task_id']],
    ['LF in its service', '/sse/service/a%0Ab', ['path.service_name']],
    ['LF in a user of its query', '/sse/stream?user_id=a%0Ab', ['query.user_id']],
    ['CR in its session', '/sse/user/a?session_id=%0D', ['query.session_id']],
    ['a long channel', `/sse/stream?channels=${'a'.repeat(260)}`, ['query.channels']],
    ['too many channels', `/sse/stream?channels=${many}`, ['query.channels']],
    ["somebody's connection", '/sse/stream?channels=connection:x', ['query.channels']],
    ['a channel without an id', '/sse/stream?channels=user:', ['query.channels']],
    ['CRLF in a channel', '/sse/stream?channels=a%0D%0Aid:%200', ['query.channels']],
    ['an unknown time', '/sse/user/a?since=yesterday', ['query.since']],
    ['a negative count', '/sse/user/a?since=-1', ['query.since']],
    ['an unknown mode', '/sse/user/a?event_mode=loud', ['query.event_mode']],
    ['LF in its error event', '/sse/user/a?error_event=a%0Adata:x', ['query.error_event']],
    ['the name of a control event', '/sse/user/a?error_event=gap', ['query.error_event']],
    [
      'much wrong at once',
      '/sse/user/a%0A?since=x&event_mode=y&error_event=end&channels=connection:x',
      ['path.user_id', 'query.channels', 'query.since', 'query.event_mode', 'query.error_event'],
    ],
    ['no stream but a history', '/sse/api/v1/channels/user:a%0Ab/history', ['path.channel']],
    [
      'wrong numbers for a history',
      '/sse/api/v1/channels/user:a/history?from=x&limit=0',
      ['query.from', 'query.limit'],
    ],
  ])('%s', async (_, path, fields) => {
    const answer = await refusal(get(path), 422, 'validation_failed');
    expect(fieldsOf(answer).toSorted()).toEqual(fields.toSorted());
  });
});

describe.each(Object.entries(LANES))('on the %s lane', (_, lane) => {
  const statuses = (answers: readonly RawAnswer[]) => answers.map(({ status }) => status);
  const count = (answers: readonly RawAnswer[]): void => {
    for (const { body } of answers) if (body.includes('message_id')) stored++;
  };

  test('a request that comes byte by byte is answered as any other', async () => {
    const bytes = [...post(GOOD)(lane), ...post('{"a":')(lane)].map((byte) => Uint8Array.of(byte));
    const { answers } = await converse(server.port, { pieces: bytes, answers: 2 });
    count(answers);
    expect(statuses(answers)).toEqual([200, 400]);
    const stream = [...get('/sse/user/a%0Ab')(lane)].map((byte) => Uint8Array.of(byte));
    expect(statuses((await converse(server.port, { pieces: stream, answers: 1 })).answers)).toEqual([422]);
  });

  test('requests that are sent ahead are answered in their order', async () => {
    const messages = [post(GOOD), post('{}'), post('{'), post(GOOD), get('/sse/health/live'), post(GOOD)];
    const piece = Buffer.concat(messages.map((message) => message(lane)));
    const { answers } = await converse(server.port, { pieces: [piece], answers: messages.length });
    count(answers);
    expect(statuses(answers)).toEqual([200, 422, 400, 200, 200, 200]);
  });

  test('a peer that closes its side after its request is answered, and the connection ends', async () => {
    for (const message of [post(GOOD), post(chunked(GOOD), { length: CHUNKED })]) {
      const { answers, hasEnded } = await converse(server.port, {
        pieces: [message(lane)],
        answers: 2,
        halfCloses: true,
      });
      count(answers);
      expect(statuses(answers)).toEqual([200]);
      expect(hasEnded).toBe(true);
    }
  });

  test('a peer that has sent ahead and closed its side gets all of its answers', async () => {
    const piece = Buffer.concat([post(GOOD)(LANES.plain), post(GOOD)(lane), post('{}')(lane)]);
    const { answers } = await converse(server.port, { pieces: [piece], answers: 4, halfCloses: true });
    count(answers);
    // The HTTP server cannot take over a connection whose end was read, so it is refused rather than dropped.
    expect(statuses(answers)).toEqual(lane === LANES.plain ? [200, 200, 422] : [200, 400]);
  });

  test('a request that its peer has cut short is refused and stores nothing', async () => {
    const short = post(GOOD, { length: `Content-Length: ${GOOD_BYTES + 1}\r\n` })(lane);
    for (const piece of [short, short.subarray(0, 40)]) {
      const { answers, hasEnded } = await converse(server.port, {
        pieces: [piece],
        answers: 2,
        halfCloses: true,
      });
      expect(statuses(answers)).toEqual([400]);
      expect(codeOf(answers[0])).toBe('malformed_request');
      expect(hasEnded).toBe(true);
    }
  });

  test('a publisher that waits for leave to send its body gets it', async () => {
    const message = post(GOOD, { more: 'Expect: 100-continue\r\n' })(lane);
    const { answers } = await converse(server.port, { pieces: [message], answers: 2 });
    count(answers);
    expect(statuses(answers)).toEqual([100, 200]);
  });

  test('a refused request leaves its connection usable where its end is known', async () => {
    const pieces = [post('{}')(lane), post(GOOD, type('text/plain'))(lane), post(GOOD)(lane)];
    const { answers } = await converse(server.port, { pieces, answers: 3 });
    count(answers);
    expect(statuses(answers)).toEqual([422, 415, 200]);
  });
});

test('the process has lived through all of it and stored what it said, nothing else', async () => {
  expect(server.isRunning).toBe(true);
  expect(server.pid).toBe(pid);
  const { lastOffset, entries } = await readHistory(server.url, 'user:raw');
  expect(lastOffset).toBe(stored);
  for (const { message } of entries) expect(message.data).toEqual({ text: '好' });
  const { text } = await request(`${server.url}/sse/api/v1/channels`);
  const listed = (JSON.parse(text) as { channels: { channel: string }[] }).channels.map((c) => c.channel);
  expect(listed).toEqual(['user:raw']);
  expect(server.output).not.toMatch(/"level":"?(error|fatal|50|60)/i);
});
