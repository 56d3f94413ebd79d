/** Credentials in the documentation: the schemes, the routes that ask for them, and their refusals. */
import type { RouteOptions } from 'fastify';
import { accessOf } from '../guard.ts';
import { errorAnswers } from './error-answers.ts';

type SecurityRequirement = Record<string, string[]>;

const ALL: SecurityRequirement[] = [{ apiKey: [] }, { bearer: [] }, { cookie: [] }, { ticket: [] }];

export function securitySchemes(cookieName: string | undefined) {
  return {
    apiKey: {
      type: 'apiKey',
      in: 'header',
      name: 'X-API-Key',
      description: 'API key of a back end or an operator.',
    },
    bearer: { type: 'http', scheme: 'bearer', description: 'An API key, or the JWT of a user.' },
    cookie: {
      type: 'apiKey',
      in: 'cookie',
      name: cookieName ?? 'AUTH_COOKIE',
      description: 'The JWT of a user, in the cookie that AUTH_COOKIE names.',
    },
    ticket: {
      type: 'apiKey',
      in: 'query',
      name: 'ticket',
      description: 'A ticket from `POST /sse/api/v1/tickets`, for `EventSource`, which sends no headers.',
    },
  } as const;
}

/** Adds to a route's schema which credentials it asks for, by the same rule that guards it. */
export function addRouteAccess(route: RouteOptions, isAllOpen: boolean): void {
  const { schema } = route;
  if (schema === undefined || schema.hide === true || typeof route.url !== 'string') return;
  const access = accessOf(route.url);
  if (access === 'open') return;
  // The empty one means that no credential is needed.
  schema.security = [...(isAllOpen ? [{}] : []), ...ALL];
  const answers = access === 'stream' ? errorAnswers(400, 401, 403) : errorAnswers(400, 401, 403, 429, 503);
  schema.response = { ...answers, ...(schema.response as object | undefined) };
}
