/** Makes tickets, renews the credential of a stream, and revokes credentials. */
import type { IncomingHttpHeaders } from 'node:http';
import { BROADCAST_CHANNEL, isTransientChannel, nameProblem } from '@message-push/protocol';
import Type, { type Static } from 'typebox';
import { demandManage } from '../../../access/decisions.ts';
import { streamCredentialOf } from '../../../access/gate.ts';
import type { Principal } from '../../../access/principal.ts';
import { REVOCATION_KINDS, type RevocationKind } from '../../../access/tokens/revocations.ts';
import { type FieldProblem, RequestError, shownValue, validationFailed } from '../../../core/errors.ts';
import { parseJson } from '../../../publish/parse-json.ts';
import type { Api, ApiOptions } from '../api-options.ts';
import { renewedSchema, revokedSchema, ticketSchema } from '../docs/answer-schemas.ts';
import { errorAnswers } from '../docs/error-answers.ts';
import { checkName } from '../docs/url-schemas.ts';
import { expectJson } from '../json-body.ts';

const nullable = (type: 'string' | 'integer', description: string) =>
  Type.Optional(Type.Unsafe<unknown>({ type: [type, 'null'], description }));

const ticketBody = Type.Object(
  {
    user_id: nullable(
      'string',
      'The user of the ticket, who may join `user:{user_id}` with it. Users make tickets for themselves only.',
    ),
    session_id: nullable('string', 'Allows it to join `session:{session_id}`.'),
    channels: Type.Optional(
      Type.Unsafe<unknown>({
        type: ['array', 'null'],
        items: { type: 'string' },
        description:
          'Names and patterns (`task:*`) that it may join. A user can pass on at most what their token allows, which is also the default.',
      }),
    ),
    ttl: nullable(
      'integer',
      'Lifetime in seconds. Default: `TICKET_TTL`. At most `TICKET_MAX_TTL`, and never longer than the token.',
    ),
    origin: nullable(
      'string',
      'The only origin whose pages may use it. Default: the origin of the page that asks, if any.',
    ),
  },
  { additionalProperties: false, examples: [{ user_id: '123', channels: ['task:456'], ttl: 600 }] },
);

const ID_FIELDS = {
  user: 'user_id',
  token: 'token_id',
  connection: 'connection_id',
} as const satisfies Record<RevocationKind, string>;
const FIELD_NAMES = Object.values(ID_FIELDS);
const MAX_ID_BYTES = 256;

const revocationBody = Type.Object(
  {
    user_id: nullable(
      'string',
      'Revokes every token and ticket that this user has until now, and ends their streams.',
    ),
    token_id: nullable(
      'string',
      'Revokes the token with this `jti`, or the ticket with this `ticket_id`, and every ticket made from it.',
    ),
    connection_id: nullable('string', 'Ends this stream and revokes the credential that it was opened with.'),
  },
  { additionalProperties: false, description: 'Exactly one of the fields.', examples: [{ user_id: '123' }] },
);

/** Bodies stay bytes, so that what is wrong with one can be reported as for a publish. */
const asJson = {
  validatorCompiler: () => () => true,
  onRequest: async ({ headers }: { readonly headers: IncomingHttpHeaders }) => expectJson(headers),
};

type Routes = Pick<ApiOptions, 'access' | 'directory' | 'clientIp'>;

export function registerAccessRoutes(api: Api, options: Routes): void {
  registerTickets(api, options);
  registerRevocations(api, options);
  registerRenewal(api, options);
}

function registerTickets(api: Api, { access, clientIp }: Routes): void {
  api.post(
    '/sse/api/v1/tickets',
    {
      schema: {
        tags: ['Access'],
        operationId: 'createTicket',
        summary: 'Issue a ticket',
        description:
          'For `?ticket=` in the URL of a stream. It can be used until it expires, because an `EventSource` repeats its URL when it reconnects. Made by a back end whose API key has the scope `manage`, or by users with their token for themselves.',
        body: ticketBody,
        response: { 200: ticketSchema, ...errorAnswers(413, 415, 422) },
      },
      ...asJson,
    },
    async (request, reply): Promise<Static<typeof ticketSchema>> => {
      const issued = await access.tickets.issue(request.principal, bodyOf(request.body), {
        clientIp: clientIp(request.raw),
        pageOrigin: request.headers.origin,
      });
      reply.header('cache-control', 'no-store');
      return {
        success: true,
        ticket: issued.ticket,
        ticket_id: issued.ticketId,
        user_id: issued.userId ?? null,
        channels: [...issued.channels],
        expires_at: new Date(issued.expiresAtMs).toISOString(),
      };
    },
  );
}

function registerRevocations(api: Api, { access }: Routes): void {
  api.post(
    '/sse/api/v1/revocations',
    {
      schema: {
        tags: ['Access'],
        operationId: 'revoke',
        summary: 'Revoke credentials',
        description:
          'Revokes the credentials of a user, a token or a stream. Their streams end on every node within 5 s, with `event: end` and reason `revoked`. Needs the scope `manage` over `user:{user_id}` or `connection:{connection_id}`, for a token over all channels. 503 means that it is in force on this node, but perhaps not on every other one: repeat it.',
        body: revocationBody,
        response: { 200: revokedSchema, ...errorAnswers(413, 415, 422) },
      },
      ...asJson,
    },
    async ({ principal, body }): Promise<Static<typeof revokedSchema>> => {
      const { kind, id } = readRevocation(bodyOf(body));
      demandManage(principal, kind === 'token' ? undefined : `${kind}:${id}`);
      const { atMs, untilMs } = await access.revocations.revoke(kind, id);
      return {
        success: true,
        kind,
        id,
        revoked_at: new Date(atMs).toISOString(),
        kept_until: new Date(untilMs).toISOString(),
      };
    },
  );
}

function registerRenewal(api: Api, { access, directory, clientIp }: Routes): void {
  api.post(
    '/sse/api/v1/connections/:connection_id/renew',
    {
      schema: {
        tags: ['Access'],
        operationId: 'renewConnection',
        summary: 'Renew the credential of a stream',
        description:
          'The stream goes on until the credential of this request expires. It must belong to the same user and allow all channels of the stream. The body is empty.',
        params: Type.Object({ connection_id: Type.String() }),
        response: { 200: renewedSchema, ...errorAnswers(404, 422) },
      },
    },
    async ({ params, principal, raw }): Promise<Static<typeof renewedSchema>> => {
      const { connection_id: connectionId } = params;
      checkName('path.connection_id', connectionId);
      const credential = streamCredentialOf(principal);
      if (credential === undefined) {
        throw new RequestError('unauthorized', 'renewing a stream requires a credential');
      }
      const stream = await directory.find(connectionId);
      if (stream === undefined) throw unknownConnection(connectionId);
      await admitAgain(access.authorizer, principal, stream.channels, clientIp(raw));
      const renewal = await directory.renew(connectionId, credential);
      if (renewal === 'not_found') throw unknownConnection(connectionId);
      if (renewal === 'refused') throw notRenewable();
      const { expiresAtMs } = credential;
      return {
        success: true,
        connection_id: connectionId,
        expires_at: expiresAtMs === undefined ? null : new Date(expiresAtMs).toISOString(),
      };
    },
  );
}

/** Asks again as when the stream was opened: the new credential may allow less, and so may the application. */
async function admitAgain(
  authorizer: ApiOptions['access']['authorizer'],
  principal: Principal,
  channels: readonly string[],
  clientIp: string,
): Promise<void> {
  const joined = channels.filter((channel) => !isTransientChannel(channel));
  try {
    await authorizer.admit(principal, joined.length === 0 ? [BROADCAST_CHANNEL] : joined, clientIp);
  } catch (error) {
    // The error must not tell the channels of a stream to somebody else.
    if (error instanceof RequestError && error.code === 'forbidden') throw notRenewable();
    throw error;
  }
}

function notRenewable(): RequestError {
  return new RequestError('forbidden', 'this credential cannot renew this stream');
}

function unknownConnection(connectionId: string): RequestError {
  return new RequestError('connection_not_found', `there is no connection "${connectionId}"`);
}

/** An empty body counts as an empty object. */
function bodyOf(body: unknown): unknown {
  return body instanceof Uint8Array && body.byteLength > 0 ? parseJson(body).value : {};
}

function readRevocation(body: unknown): { kind: RevocationKind; id: string } {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw validationFailed([{ field: 'body', problem: 'must be a JSON object' }]);
  }
  const fields = Object.entries(body).filter(([, value]) => value !== null);
  const [first] = fields;
  const kind = REVOCATION_KINDS.find((known) => ID_FIELDS[known] === first?.[0]);
  if (first === undefined || fields.length > 1 || kind === undefined) {
    throw validationFailed([{ field: 'body', problem: `must have one field of ${FIELD_NAMES.join(', ')}` }]);
  }
  const [field, id] = first;
  const problem = typeof id === 'string' ? nameProblem(id, MAX_ID_BYTES) : 'must be text';
  if (problem !== undefined) {
    const finding: FieldProblem = { field, problem, value: shownValue(id) };
    throw validationFailed([finding]);
  }
  return { kind, id: id as string };
}
