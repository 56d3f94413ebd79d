/**
 * Who may come to which route. A route is guarded unless it stands here: one that is forgotten is closed, not open.
 * It goes by the pattern that the router has matched, so that no spelling of a path passes by it.
 */
import type { IncomingMessage } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Admitted, Gate } from '../../access/gate.ts';
import { rateHeaders } from '../../access/limits/rate-limiter.ts';
import type { Principal } from '../../access/principal.ts';
import { rateHeaders } from '../../access/limits/rate-limiter.ts';
import { partsOf } from '../request-parts.ts';
import { STREAM_ROUTES } from '../stream/stream-request.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Of a guarded route. */
    principal: Principal;
  }
}

export type RouteAccess = 'open' | 'stream' | 'guarded';

/** What a load balancer and a reader of the documentation need; nothing in them is anybody's. */
const OPEN_ROUTES: ReadonlySet<string> = new Set([
  '/',
  '/sse/health',
  '/sse/health/live',
  '/sse/health/ready',
  '/openapi.json',
  '/redoc',
]);

/** `pattern`: as Fastify writes it. `stream`: its opener asks by itself. */
export function accessOf(pattern: string): RouteAccess {
  if (STREAM_ROUTES.has(pattern)) return 'stream';
  const isOpen = OPEN_ROUTES.has(pattern) || pattern === '/docs' || pattern.startsWith('/docs/');
  return isOpen ? 'open' : 'guarded';
}

export interface GuardOptions {
  readonly gate: Pick<Gate, 'ask'>;
  readonly clientIp: (request: IncomingMessage) => string;
}

/** Throws what the gate answers; otherwise the request has its principal. */
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
