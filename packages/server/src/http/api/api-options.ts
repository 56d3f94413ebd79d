/** What the HTTP API is made of: values and ports. */
import type { IncomingMessage } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { Authorizer } from '../../access/authorizer.ts';
import type { Gate } from '../../access/gate.ts';
import type { TicketOffice } from '../../access/tickets/ticket-office.ts';
import type { Revocations } from '../../access/tokens/revocations.ts';
import type { BackupMaker } from '../../core/backups.ts';
import type { Directory, StreamTotals } from '../../core/directory.ts';
import type { Engine } from '../../core/engine.ts';
import type { Profiler } from '../../observe/profiler.ts';
import type { Answers } from '../answers.ts';
import type { CorsRules } from '../cors.ts';
import type { NodeServerOptions } from '../lanes/node-server.ts';
import type { PublishExchange } from '../publish-exchange.ts';
import type { StreamHandler } from '../stream/stream-handler.ts';

export interface ApiOptions {
  readonly answers: Answers;
  readonly publishes: PublishExchange;
  readonly engine: Pick<Engine, 'kind' | 'range' | 'channels' | 'health'>;
  /** undefined: the engine's store is not of this process. */
  readonly backups: BackupMaker | undefined;
  readonly directory: Directory;
  /** Figures of this process, for its health. */
  readonly ownTotals: () => Pick<StreamTotals, 'connections' | 'channels'>;
  readonly info: {
    readonly serviceName: string;
    readonly version: string;
    readonly environment: string;
    readonly port: number;
    /** Without it: http. */
    readonly scheme?: 'http' | 'https';
    /** Where several processes serve the port: which one this is. */
    readonly worker?: { readonly index: number; readonly pid: number } | undefined;
  };
  readonly limits: {
    /** Messages of one history page, in bytes of JSON. */
    readonly maxPageBytes: number;
  } & NodeServerOptions;
  readonly cors: CorsRules;
  readonly access: {
    readonly gate: Pick<Gate, 'isOpen' | 'ask'>;
    readonly authorizer: Pick<Authorizer, 'admit'>;
    readonly tickets: Pick<TicketOffice, 'issue'>;
    readonly revocations: Pick<Revocations, 'revoke'>;
    /** For the documentation; undefined: cookies are no credential. */
    readonly cookieName: string | undefined;
  };
  /** Whose address counts. */
  readonly clientIp: (request: IncomingMessage) => string;
  readonly enableDocs: boolean;
  /** Whether a load balancer should send requests here. */
  readonly isReady: () => boolean;
  readonly isDraining: () => boolean;
  /** Takes over a stream request that reached the API. */
  readonly streamHandler: StreamHandler;
  readonly logger?: FastifyBaseLogger;
  /** Without it nothing can be profiled. */
  readonly profiler?: Pick<Profiler, 'begin'> | undefined;
  readonly startedAtMs: number;
  readonly now: () => number;
}

/** The instance that routes are registered on: it knows the types of TypeBox schemas. */
export type Api = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;
