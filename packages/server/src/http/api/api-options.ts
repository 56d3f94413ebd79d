/** The values and ports that the HTTP API is made of. */
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
  /** Absent when the store belongs to another process. */
  readonly backups: BackupMaker | undefined;
  readonly directory: Directory;
  /** Figures of this process for its health. */
  readonly ownTotals: () => Pick<StreamTotals, 'connections' | 'channels'>;
  readonly info: {
    readonly serviceName: string;
    readonly version: string;
    readonly environment: string;
    readonly port: number;
    /** Default: http. */
    readonly scheme?: 'http' | 'https';
    /** Which process this is. Absent when one process alone serves the port. */
    readonly worker?: { readonly index: number; readonly pid: number } | undefined;
  };
  readonly limits: {
    /** Bytes of JSON in one page of history. */
    readonly maxPageBytes: number;
  } & NodeServerOptions;
  readonly cors: CorsRules;
  readonly access: {
    readonly gate: Pick<Gate, 'isOpen' | 'ask'>;
    readonly authorizer: Pick<Authorizer, 'admit'>;
    readonly tickets: Pick<TicketOffice, 'issue'>;
    readonly revocations: Pick<Revocations, 'revoke'>;
    /** The cookie that the documentation names. Absent when a cookie is not a credential. */
    readonly cookieName: string | undefined;
  };
  /** The client's address for the log and the limits. */
  readonly clientIp: (request: IncomingMessage) => string;
  readonly enableDocs: boolean;
  /** True if a load balancer should send requests here. */
  readonly isReady: () => boolean;
  readonly isDraining: () => boolean;
  readonly streamHandler: StreamHandler;
  readonly logger?: FastifyBaseLogger;
  /** Absent when profiling is off. */
  readonly profiler?: Pick<Profiler, 'begin'> | undefined;
  readonly startedAtMs: number;
  readonly now: () => number;
}

/** The Fastify instance that routes are registered on, with the types of TypeBox schemas. */
export type Api = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;
