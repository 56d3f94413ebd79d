/**
 * Asks for a credential before a route is served. A route is guarded unless it is listed here, so a route that is
 * forgotten is closed, not open. The pattern that the router has matched decides, so no spelling of a path gets around
 * the guard.
 */
import type { IncomingMessage } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Admitted, Gate } from '../../access/gate.ts';
import { rateHeaders } from '../../access/limits/rate-limiter.ts';
import type { Principal } from '../../access/principal.ts';
import { partsOf } from '../request-parts.ts';
import { STREAM_ROUTES } from '../stream/stream-request.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set on guarded routes. */
    principal: Principal;
  }
}

export type RouteAccess = 'open' | 'stream' | 'guarded';

/** Routes for load balancers and readers of the documentation. They show nothing that belongs to a user. */
const OPEN_ROUTES: ReadonlySet<string> = new Set([
  '/',
  '/sse/health',
  '/sse/health/live',
  '/sse/health/ready',
  '/openapi.json',
  '/redoc',
]);

/** `pattern` is a route as Fastify writes it. For `stream` routes the opener asks for the credential. */
export function accessOf(pattern: string): RouteAccess {
  if (STREAM_ROUTES.has(pattern)) return 'stream';
  const isOpen = OPEN_ROUTES.has(pattern) || pattern === '/docs' || pattern.startsWith('/docs/');
  return isOpen ? 'open' : 'guarded';
}

export interface GuardOptions {
  readonly gate: Pick<Gate, 'ask'>;
  readonly clientIp: (request: IncomingMessage) => string;
}

/** Throws the error of the gate, or sets the principal of the request. */
export async function guard(
  request: FastifyRequest,
  reply: FastifyReply,
  { gate, clientIp }: GuardOptions,
): Promise<void> {
  if (accessOf(request.routeOptions.url ?? '') !== 'guarded') return;
  const asked = gate.ask('request', partsOf(request.raw), clientIp(request.raw));
  const answer = asked instanceof Promise ? await asked : asked;
  if (answer.rate !== undefined) reply.headers(rateHeaders(answer.rate));
  if (answer.error !== undefined) throw answer.error;
  request.principal = (answer satisfies Admitted).principal;
}
