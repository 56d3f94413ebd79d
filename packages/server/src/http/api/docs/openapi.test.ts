import { Ajv2020 } from 'ajv/dist/2020.js';
import { beforeAll, describe, expect, test } from 'vitest';
import { Profiler } from '../../../observe/profiler.ts';
import { createTestApi, NOW } from '../api-fixture.ts';
import { renderReference } from './reference-page.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
interface JsonObject {
  [key: string]: Json;
}
interface Media {
  schema: JsonObject;
  example?: Json;
}
interface Operation {
  operationId: string;
  summary: string;
  description?: string;
  tags: string[];
  parameters?: { name: string; in: string; required?: boolean; schema: JsonObject; example?: Json }[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, { description: string; content?: Record<string, Media> }>;
}
type Component = JsonObject & { examples?: Json[] };
interface Document {
  openapi: string;
  info: { title: string; version: string };
  tags: { name: string }[];
  paths: Record<string, { get?: Operation; post?: Operation; delete?: Operation }>;
  components: { schemas: Record<string, Component> & { Error: Component } };
}

let document: Document;
let ajv: Ajv2020;

beforeAll(async () => {
  const profiler = new Profiler({ folder: '/nowhere', name: 'push', now: () => NOW });
  const { api } = createTestApi({ profiler });
  document = (await api.inject('/openapi.json')).json();
  ajv = new Ajv2020({ strict: false, formats: { 'date-time': isDateTime } });
  ajv.addSchema(document, 'document');
});

function isDateTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text);
}

/** `$ref`s are relative to the document. */
function expectValid(schema: JsonObject, value: unknown): void {
  const validate = ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"document#/')));
  expect(validate(value), JSON.stringify(validate.errors)).toBe(true);
}

function operations(): [string, string, Operation][] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]): [string, string, Operation] => [path, method, operation]),
  );
}

function* walk(value: Json): Generator<JsonObject> {
  if (Array.isArray(value)) for (const item of value) yield* walk(item);
  else if (typeof value === 'object' && value !== null) {
    yield value;
    for (const item of Object.values(value)) yield* walk(item);
  }
}

test('the document is OpenAPI 3.1 and has every route', () => {
  expect(document.openapi).toMatch(/^3\.1\./);
  expect(Object.keys(document.paths).toSorted()).toEqual([
    '/',
    '/sse/api/v1/backups',
    '/sse/api/v1/channels',
    '/sse/api/v1/channels/{channel}/connections',
    '/sse/api/v1/channels/{channel}/history',
    '/sse/api/v1/channels/{channel}/presence',
    '/sse/api/v1/connections',
    '/sse/api/v1/connections/stats',
    '/sse/api/v1/connections/{connection_id}',
    '/sse/api/v1/connections/{connection_id}/renew',
    '/sse/api/v1/messages/batch',
    '/sse/api/v1/messages/broadcast',
    '/sse/api/v1/messages/send',
    '/sse/api/v1/profiles/cpu',
    '/sse/api/v1/profiles/heap',
    '/sse/api/v1/revocations',
    '/sse/api/v1/tickets',
    '/sse/health',
    '/sse/health/live',
    '/sse/health/ready',
    '/sse/service/{service_name}',
    '/sse/stream',
    '/sse/task/{task_id}',
    '/sse/user/{user_id}',
  ]);
});

test('what is switched off is not in it', async () => {
  const { api } = createTestApi();
  const without = (await api.inject('/openapi.json')).json<Document>();
  expect(JSON.stringify(without)).not.toContain('/profiles');
  expect(without.tags.map(({ name }) => name)).not.toContain('Profiles');
});

test('every operation has a name, a summary, a known tag, its path parameters and described answers', () => {
  const tags = new Set(document.tags.map(({ name }) => name));
  const ids = new Set<string>();
  for (const [path, , operation] of operations()) {
    expect(operation.summary).toBeTruthy();
    expect(operation.tags.every((tag) => tags.has(tag))).toBe(true);
    ids.add(operation.operationId);
    const named = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
    const inPath = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
    expect(inPath.map(({ name }) => name)).toEqual(named);
    expect(inPath.every(({ required }) => required === true)).toBe(true);
    const answers = Object.values(operation.responses);
    expect(answers.length).toBeGreaterThan(0);
    expect(answers.every(({ description }) => description.length > 0)).toBe(true);
  }
  expect(ids.size).toBe(operations().length);
});

test('every reference leads somewhere and every schema is one', () => {
  for (const node of walk(document as unknown as Json)) {
    const { $ref } = node;
    if (typeof $ref !== 'string') continue;
    const name = /^#\/components\/schemas\/(\w+)$/.exec($ref)?.[1] ?? '';
    expect(document.components.schemas, $ref).toHaveProperty(name);
  }
  for (const schema of Object.values(document.components.schemas)) {
    expect(ajv.validateSchema(schema), JSON.stringify(ajv.errors)).toBe(true);
  }
  for (const [, , { requestBody, parameters, responses }] of operations()) {
    const media = [requestBody?.content, ...Object.values(responses).map(({ content }) => content)];
    const schemas = [
      ...(parameters ?? []).map(({ schema }) => schema),
      ...media.flatMap((content) => Object.values(content ?? {}).map(({ schema }) => schema)),
    ];
    for (const schema of schemas) expect(ajv.validateSchema(schema), JSON.stringify(schema)).toBe(true);
  }
});

describe('examples', () => {
  test('of every component fit it, and every event has one', () => {
    const events = Object.keys(document.components.schemas).filter((name) => name.endsWith('Event'));
    expect(events.toSorted()).toEqual([
      'ConnectionEvent',
      'CustomEvent',
      'EndEvent',
      'ErrorEvent',
      'ExpiringEvent',
      'GapEvent',
      'HeartbeatEvent',
      'InfoEvent',
      'ProgressEvent',
      'ReconnectEvent',
      'StatusEvent',
      'SuccessEvent',
      'WarningEvent',
    ]);
    for (const schema of Object.values(document.components.schemas)) {
      expect(schema.examples?.length).toBeGreaterThan(0);
      for (const example of schema.examples ?? []) expectValid(schema, example);
    }
  });

  test('of files that are downloaded fit their schema', () => {
    for (const path of ['/sse/api/v1/profiles/cpu', '/sse/api/v1/profiles/heap']) {
      const media = document.paths[path]?.post?.responses['200']?.content?.['application/json'];
      expect(media?.example).toBeDefined();
      expectValid(media?.schema ?? {}, media?.example);
    }
  });

  test('of bodies fit their schema, and are accepted as pasted', async () => {
    let sent = 0;
    for (const [path, method, { requestBody, responses }] of operations()) {
      const media = requestBody?.content['application/json'];
      if (media === undefined) continue;
      expectValid(media.schema, media.example);
      const { api } = createTestApi();
      const answer = await api.inject({
        method: method as 'POST',
        url: path,
        payload: media.example as object,
      });
      expect(answer.statusCode).toBe(200);
      expect(answer.json()).toMatchObject({ success: true });
      expectValid(responses['200']?.content?.['application/json']?.schema ?? {}, answer.json());
      sent++;
    }
    expect(sent).toBe(5);
  });
});

test('what routes answer fits what the document says', async () => {
  const { api, directory } = createTestApi();
  directory.add('c1', ['user:123', 'broadcast'], '123');
  const send = document.paths['/sse/api/v1/messages/send']?.post;
  const payload = send?.requestBody?.content['application/json']?.example as object;
  await api.inject({ method: 'POST', url: '/sse/api/v1/messages/send', payload });
  let compared = 0;
  const last: [string, string][] = [];
  for (const [path, method, { responses }] of operations()) {
    const schema = responses['200']?.content?.['application/json']?.schema;
    if (schema === undefined || method === 'post') continue;
    const url = path.replace('{channel}', 'user:123').replace('{connection_id}', 'c1');
    // Closing the connection comes after looking at it.
    if (method === 'delete') last.push([url, path]);
    else {
      const answer = await api.inject(url);
      expect(answer.statusCode, url).toBe(200);
      expectValid(schema, answer.json());
      compared++;
    }
  }
  for (const [url, path] of last) {
    const answer = await api.inject({ method: 'DELETE', url });
    expectValid(
      document.paths[path]?.delete?.responses['200']?.content?.['application/json']?.schema ?? {},
      answer.json(),
    );
  }
  expect([compared, last.length]).toEqual([10, 1]);
});

test('every error fits the Error schema', async () => {
  const { api } = createTestApi();
  const schema = document.components.schemas.Error;
  for (const url of ['/nowhere', '/%zz', '/sse/api/v1/connections?limit=x', '/sse/api/v1/messages/send']) {
    const answer = await api.inject(url);
    expect(answer.statusCode).toBeGreaterThanOrEqual(400);
    expectValid(schema, answer.json());
  }
});

describe('the reference page', () => {
  test('has every route and schema, and every link on it leads somewhere', () => {
    const html = renderReference(document as never, 'http://localhost:1');
    for (const [path] of operations()) expect(html).toContain(`<code>${path}</code>`);
    const ids = new Set([...html.matchAll(/ id="([^"]+)"/g)].map((match) => match[1]));
    for (const [, target] of html.matchAll(/href="#([^"]+)"/g)) expect(ids, target).toContain(target);
    expect(ids).toContain('GapEvent');
  });

  test('shows text of the document as text', () => {
    const hostile = structuredClone(document);
    hostile.info.title = '<script>alert("1")</script>';
    const html = renderReference(hostile as never, 'http://localhost:1');
    expect(html).not.toContain('<script');
  });
});
