/**
 * The stream routes: their documentation, and the handler for streams that the front does not take. It hands them to
 * the same opener, which reads and checks the URL.
 */
import { EVENT_MODES } from '@message-push/protocol';
import Type, { type TProperties } from 'typebox';
import type { Api, ApiOptions } from '../api-options.ts';
import { errorAnswers } from '../docs/error-answers.ts';

const optionalName = (description: string, examples?: string[]) =>
  Type.Optional(Type.String({ description, ...(examples === undefined ? {} : { examples }) }));

const userId = optionalName('Joins `user:{user_id}` as well.', ['123']);
const sessionId = optionalName('Joins `session:{session_id}` as well.');
const channels = optionalName(
  'Further channels, separated by commas. A bare name `a` is `channel:a`; one with a prefix (`kb:7`) is taken as written.',
  ['news,kb:7'],
);

const common = {
  last_event_id: optionalName(
    'Resume after this SSE id. For clients that cannot send the header `Last-Event-ID`, which takes precedence.',
  ),
  since: optionalName(
    'Where a stream without a cursor starts: `all`, `latest`, a count of messages, a duration (`10m`), a Unix time in seconds, or an ISO 8601 time. Default: now.',
    ['latest'],
  ),
  event_mode: Type.Optional(
    Type.Enum([...EVENT_MODES], {
      type: 'string',
      description: 'Events named by their type, unnamed for `onmessage`, or both. Default: `SSE_EVENT_MODE`.',
    }),
  ),
  error_event: optionalName(
    'Event name for messages of type `error`, because EventSource uses that name for its own failures. Default: `SSE_ERROR_EVENT`.',
  ),
};

const ROUTES: readonly {
  url: string;
  operationId: string;
  summary: string;
  joins: string;
  params?: TProperties;
  query: TProperties;
}[] = [
  {
    url: '/sse/user/:user_id',
    operationId: 'streamOfUser',
    summary: "A user's stream",
    joins: '`user:{user_id}` and, if given, `session:{session_id}` and `channels`',
    params: { user_id: Type.String({ examples: ['123'] }) },
    query: { session_id: sessionId, channels },
  },
  {
    url: '/sse/stream',
    operationId: 'streamOfChannels',
    summary: 'A stream of chosen channels',
    joins: 'what the query names',
    query: { user_id: userId, session_id: sessionId, channels },
  },
  {
    url: '/sse/service/:service_name',
    operationId: 'streamOfService',
    summary: "A service's stream",
    joins: '`service:{service_name}` and, if given, `user:{user_id}`',
    params: { service_name: Type.String({ examples: ['knowledge-service'] }) },
    query: { user_id: userId },
  },
  {
    url: '/sse/task/:task_id',
    operationId: 'streamOfTask',
    summary: "A task's stream",
    joins: '`task:{task_id}` and, if given, `user:{user_id}`',
    params: { task_id: Type.String({ examples: ['task_456'] }) },
    query: { user_id: userId },
  },
];

const EVENTS = `Events: an unnamed first one (\`ConnectionEvent\`), the messages under their type (\`ProgressEvent\`, \`StatusEvent\`, \`ErrorEvent\`, \`SuccessEvent\`, \`WarningEvent\`, \`InfoEvent\`, \`CustomEvent\`), \`heartbeat\`, \`gap\`, \`reconnect\` and \`end\`; each has a schema.`;

const eventStream = {
  description: 'The stream, until either side ends it.',
  headers: {
    'X-Connection-ID': { type: 'string', description: 'Id of this connection.' },
    'X-User-ID': { type: 'string', description: 'If the URL names a user.' },
    'X-Service': { type: 'string', description: 'On a stream of a service.' },
    'X-Task-ID': { type: 'string', description: 'On a stream of a task.' },
  },
  content: {
    'text/event-stream': {
      schema: {
        type: 'string',
        examples: [
          'retry: 3000\nid: 1x2y3z~5.k3x9q2~0.-fn3\n\nid: 1x2y3z~6.k3x9q2~0.-fn3\nevent: progress\ndata: {"id":"…","type":"progress",…}\n\n',
        ],
      },
    },
  },
};

export function registerStreamRoutes(api: Api, options: ApiOptions): void {
  for (const { url, operationId, summary, joins, params, query } of ROUTES) {
    api.route({
      method: 'GET',
      url,
      schema: {
        tags: ['Streams'],
        operationId,
        summary,
        description: `Joins ${joins}; every stream also joins \`broadcast\` and its own \`connection:{id}\`.\n\n${EVENTS}`,
        ...(params === undefined ? {} : { params: Type.Object(params) }),
        querystring: Type.Object({ ...query, ...common }),
        headers: Type.Object({
          'Last-Event-ID': optionalName('Resume after this SSE id; `EventSource` sends it by itself.'),
        }),
        response: { 200: eventStream, ...errorAnswers(422) },
      },
      exposeHeadRoute: false,
      validatorCompiler: () => () => true,
      handler: (request, reply) => {
        // Throws before it has touched the socket, and is answered like any error. Afterwards Fastify must not answer.
        options.streamHandler(request.raw, reply.raw);
        reply.hijack();
        // [Node] On HTTP/2 'finish' would be taken for the end of an answer by Fastify.
        reply.raw.removeAllListeners('finish');
      },
    });
  }
}
