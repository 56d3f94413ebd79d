/** The frame of the OpenAPI document. Fastify adds the paths of the routes. */
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import type { TSchema } from 'typebox';
import type { Api, ApiOptions } from '../api-options.ts';
import { securitySchemes } from './access-schemas.ts';
import { errorSchema } from './answer-schemas.ts';
import { eventSchemas } from './event-schemas.ts';
import { localUrl } from './local-url.ts';

const description = (
  baseUrl: string,
) => `Back-end services POST JSON messages, browsers receive them over one \`EventSource\`: in order, without loss, within milliseconds.

Open a stream: \`curl -N ${baseUrl}/sse/user/123\`. Send it a message with **Send a message** below.

A stream that is cut resumes by itself: \`EventSource\` sends the last SSE id, and the service replays what was missed. If history no longer has it, one \`gap\` event says so. Every route answers errors in the same form, \`Error\`; test its \`code\`.`;

const TAGS = [
  { name: 'Streams', description: 'Server-Sent Events. The schemas named *…Event* describe what arrives.' },
  { name: 'Publishing', description: 'Messages from services.' },
  { name: 'Channels', description: 'Named logs that streams join.' },
  { name: 'Connections', description: 'Open streams.' },
  { name: 'Access', description: 'Tickets, renewal, revocation.' },
  { name: 'Maintenance', description: 'Backups of the store.' },
  { name: 'Health', description: 'For load balancers and people.' },
];

const PROFILES_TAG = {
  name: 'Profiles',
  description: 'For operators: what the process spends its time and memory on.',
};

/** Adds the components that routes refer to, and the events, to which no route can refer. */
export function documentSchemas(): TSchema[] {
  return Object.entries({ Error: errorSchema, ...eventSchemas }).map(([name, schema]) => ({
    ...schema,
    $id: name,
  }));
}

export function addDocumentSchemas(api: Api): void {
  for (const schema of documentSchemas()) api.addSchema(schema);
}

export function openApiDocument(
  info: ApiOptions['info'],
  { access, profiler }: Pick<ApiOptions, 'access' | 'profiler'>,
): FastifyDynamicSwaggerOptions {
  return {
    mode: 'dynamic',
    convertConstToEnum: false,
    openapi: {
      openapi: '3.1.0',
      info: {
        title: info.serviceName,
        version: info.version,
        description: description(localUrl(info)),
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: profiler === undefined ? TAGS : [...TAGS, PROFILES_TAG],
      components: { securitySchemes: securitySchemes(access.cookieName) },
    },
    refResolver: { buildLocalReference: ({ $id }) => (typeof $id === 'string' ? $id : '') },
  };
}
