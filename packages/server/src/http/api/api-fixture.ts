/** The API for tests, over an engine and a directory in memory. */
import { pino } from 'pino';
import { Authorizer } from '../../access/authorizer.ts';
import { Gate } from '../../access/gate.ts';
import { TicketOffice } from '../../access/tickets/ticket-office.ts';
import { TicketSealer, ticketKey } from '../../access/tickets/tickets.ts';
import { Revocations } from '../../access/tokens/revocations.ts';
import type { ConnectionView, LocalDirectory } from '../../core/directory.ts';
import type { Engine, EngineHealth } from '../../core/engine.ts';
import { RequestError } from '../../core/errors.ts';
import type { Publication } from '../../core/message.ts';
import { Publisher } from '../../publish/publisher.ts';
import { SoleNode } from '../../sse/sole-node.ts';
import { Answers, type AnswersOptions } from '../answers.ts';
import { PublishExchange } from '../publish-exchange.ts';
import type { Api, ApiOptions } from './api-options.ts';
import { createApi } from './create-api.ts';

export const NOW = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

export class MemoryEngine implements Pick<Engine, 'kind' | 'publish' | 'range' | 'channels' | 'health'> {
  readonly kind = 'embedded';
  readonly logs = new Map<string, Publication[]>();
  /** Entries that `range` returned, to see how much a page reads. */
  readEntries = 0;
  floor = 0;
  failure: Error | undefined;
  state: EngineHealth = { status: 'healthy', reason: undefined, details: { history_bytes: 7 } };

  publish: Engine['publish'] = async ({ message }) => {
    if (this.failure !== undefined) throw this.failure;
    const places = message.channels.map((channel) => {
      const log = this.logs.get(channel) ?? [];
      this.logs.set(channel, log);
      return { channel, epoch: 'e1', offset: log.length + 1 };
    });
    for (const place of places) this.logs.get(place.channel)?.push({ message, places, order: 1 });
    return { messageId: message.id, places, timeMs: message.timeMs, isRepeat: false, ack: 'stored' };
  };

  range: Engine['range'] = async (channel, { from, to, limit, reverse }) => {
    if (this.failure !== undefined) throw this.failure;
    const log = this.logs.get(channel) ?? [];
    const state = { epoch: log.length === 0 ? '-fn3' : 'e1', offset: log.length, floor: this.floor };
    const inRange = log.filter((_, i) => i + 1 > this.floor && i + 1 >= from && i + 1 <= to);
    const publications = (reverse ? inRange.toReversed() : inRange).slice(0, limit);
    this.readEntries += publications.length;
    return { state, publications };
  };

  channels: Engine['channels'] = async ({ prefix, after, limit }) => {
    const names = [...this.logs.keys()].filter((name) => name.startsWith(prefix) && name > after).toSorted();
    const channels = names.slice(0, limit).map((channel) => {
      const log = this.logs.get(channel) ?? [];
      const bytes = log.reduce((sum, { message }) => sum + message.json.length, 0);
      const lastPublishedMs = log.at(-1)?.message.timeMs ?? 0;
      return {
        channel,
        epoch: 'e1',
        offset: log.length,
        floor: 0,
        messages: log.length,
        bytes,
        lastPublishedMs,
      };
    });
    return { total: names.length, channels };
  };

  health: Engine['health'] = () => this.state;
}

export class MemoryDirectory implements LocalDirectory {
  readonly views: ConnectionView[] = [];

  add(connectionId: string, channels: readonly string[], userId?: string): void {
    this.views.push({
      connectionId,
      userId,
      sessionId: undefined,
      channels,
      connectedAtMs: NOW - 60_000,
      lastHeartbeatMs: NOW - 1_000,
      clientIp: '10.0.0.7',
      queueSize: 2,
      unsentBytes: 300,
      state: 'live',
    });
  }

  countStreams: LocalDirectory['countStreams'] = (channels, exclude) =>
    this.views.filter(
      (view) =>
        view.channels.some((channel) => channels.includes(channel)) && !exclude?.includes(view.connectionId),
    ).length;

  connections: LocalDirectory['connections'] = ({ userId, channel, limit }) => {
    const found = this.views.filter(
      (view) =>
        (userId === undefined || view.userId === userId) &&
        (channel === undefined || view.channels.includes(channel)),
    );
    return { total: found.length, connections: found.slice(0, limit) };
  };

  presence: LocalDirectory['presence'] = (channel) =>
    this.views
      .filter((view) => view.channels.includes(channel))
      .map(({ userId, connectedAtMs }) => ({ userId, connections: 1, sinceMs: connectedAtMs }));

  joinedChannels: LocalDirectory['joinedChannels'] = ({ prefix, after, limit }) => {
    const names = this.joinedNames().filter((name) => name.startsWith(prefix) && name > after);
    const counts = names.map((n) => [n, this.views.filter((v) => v.channels.includes(n)).length] as const);
    return new Map(counts.slice(0, limit));
  };

  joinedNames = (): string[] => [...new Set(this.views.flatMap((view) => view.channels))].toSorted();

  totals: LocalDirectory['totals'] = () => ({
    connections: this.views.length,
    liveConnections: this.views.length,
    connectionsCreated: 9,
    connectionsClosed: 7,
    messagesSent: 100,
    messagesFailed: 1,
    channels: this.joinedNames().length,
    averageQueueSize: 2,
    connectionsByUser: { '7': 2 },
  });

  find: LocalDirectory['find'] = (connectionId) =>
    this.views.find((view) => view.connectionId === connectionId);

  renew: LocalDirectory['renew'] = (connectionId) =>
    this.find(connectionId) === undefined ? 'not_found' : 'renewed';

  kick: LocalDirectory['kick'] = (connectionId) => {
    const index = this.views.findIndex((view) => view.connectionId === connectionId);
    if (index === -1) return false;
    this.views.splice(index, 1);
    return true;
  };
}

export interface ApiFixture {
  readonly api: Api;
  readonly engine: MemoryEngine;
  readonly directory: MemoryDirectory;
}

/** Access without any credentials or limits. */
function openAccess(): ApiOptions['access'] {
  const sealer = new TicketSealer(ticketKey(undefined), () => NOW);
  const revocations = new Revocations({ now: () => NOW, keepMs: 60_000 });
  const authorizer = new Authorizer({
    keys: undefined,
    users: undefined,
    tickets: sealer,
    revocations,
    webhook: undefined,
  });
  return {
    gate: new Gate({ authorizer, limiter: undefined }),
    authorizer,
    tickets: new TicketOffice({ sealer, rules: { ttlMs: 60_000, maxTtlMs: 600_000 }, now: () => NOW }),
    revocations,
    cookieName: undefined,
  };
}

type Changes = Partial<ApiOptions> & Partial<Pick<AnswersOptions, 'counterOf' | 'log'>>;

export function createTestApi({ counterOf, log, ...changes }: Changes = {}): ApiFixture {
  const engine = new MemoryEngine();
  const directory = new MemoryDirectory();
  const sole = new SoleNode(() => directory);
  const publisher = new Publisher({
    engine,
    audience: sole,
    serviceName: 'push',
    messageTtlMs: 3_600_000,
    maxJsonDepth: 32,
    maxMessageBytes: 10_000,
    maxBatchBytes: 50_000,
    maxBatchSize: 100,
    now: () => NOW,
  });
  const cors = { origins: ['https://app.example'], allowsCredentials: true };
  const api = createApi({
    answers: new Answers({
      serviceName: 'push',
      cors,
      transportHeaders: {},
      log: log ?? pino({ enabled: false }),
      counterOf: counterOf ?? (() => ({ record: () => {} })),
    }),
    publishes: new PublishExchange({ publisher, maxMessageBytes: 10_000, maxBatchBytes: 50_000 }),
    engine,
    backups: undefined,
    directory: sole,
    ownTotals: directory.totals,
    info: { serviceName: 'push', version: '1.2.3', environment: 'development', port: 8089 },
    limits: {
      maxPageBytes: 5_000,
      maxHeaderBytes: 8_192,
      requestTimeoutMs: 30_000,
      keepAliveMs: 75_000,
    },
    cors,
    access: openAccess(),
    clientIp: () => '10.0.0.7',
    enableDocs: true,
    isReady: () => true,
    isDraining: () => false,
    streamHandler: (request, response) => response.end(`stream ${request.url}`),
    startedAtMs: NOW - 5_000,
    now: () => NOW,
    ...changes,
  });
  return { api, engine, directory };
}

export const outage = new RequestError('engine_unavailable', 'the engine is unreachable', {
  retryAfterSeconds: 3,
});
