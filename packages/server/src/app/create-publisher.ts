/** Creates the publish stage as the configuration asks for it, with what it writes to the log and the metrics. */
import type { Config } from '../config/config.ts';
import type { Audience } from '../core/directory.ts';
import type { Engine } from '../core/engine.ts';
import { RequestError } from '../core/errors.ts';
import type { Log } from '../observe/log/log.ts';
import type { Metrics } from '../observe/metrics/metrics.ts';
import type { Tracer } from '../observe/tracing/tracer.ts';
import { CountedPublisher } from '../publish/counted-publisher.ts';
import { Publisher, type PublishObserver } from '../publish/publisher.ts';

export interface PublisherParts {
  readonly config: Config;
  readonly engine: Pick<Engine, 'kind' | 'publish'>;
  readonly audience: Audience;
  readonly tracer: Pick<Tracer, 'startPublish'> | undefined;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly now: () => number;
}

export function createPublisher(parts: PublisherParts): CountedPublisher {
  const { config, engine, audience, tracer, now } = parts;
  const { publishing, history, service } = config;
  return new CountedPublisher(
    new Publisher({
      engine,
      audience,
      serviceName: service.name,
      messageTtlMs: history.messageTtlMs,
      maxJsonDepth: publishing.maxJsonDepth,
      maxMessageBytes: publishing.maxMessageBytes,
      maxBatchBytes: publishing.maxBatchBytes,
      maxBatchSize: publishing.maxBatchMessages,
      ackLevel: publishing.ackLevel,
      ackLevels: engine.kind === 'redis' ? ['stored', 'replicated'] : ['stored'],
      now,
      tracer,
      observer: publishObserver(parts),
    }),
  );
}

function publishObserver({ log, metrics: { publish } }: PublisherParts): PublishObserver {
  return {
    onPublished: ({ message }, { isRepeat }) => {
      publish.results[isRepeat ? 'repeat' : 'stored']++;
      log.debug(
        { messageId: message.id, type: message.type, channels: message.channels },
        'message published',
      );
    },
    onFailed: (error) => {
      const code = error instanceof RequestError ? error.code : 'internal_error';
      publish.results.rejected++;
      publish.errors[code]++;
    },
  };
}
