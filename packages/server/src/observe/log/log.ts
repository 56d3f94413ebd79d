/**
 * The log: one line of JSON per event, with masked credentials. Lines go to standard output (as JSON or coloured) and
 * to a file that is rotated by size.
 *
 * All code logs through the pino logger: `log.info({ connectionId }, 'stream opened')`. The keys `url`, `headers`,
 * `req` and `err` are redacted; put URLs and headers under these keys and nowhere else.
 */
import { type Logger, pino, stdSerializers } from 'pino';
import { coloredLine } from './colored-line.ts';
import { LogFailures } from './log-failures.ts';
import { LEVEL_NAMES, type LogLevel, PINO_LEVELS } from './log-level.ts';
import { LogSink, type LogTarget } from './log-sink.ts';
import { FileTarget, StdoutTarget } from './log-targets.ts';
import { redactHeaders, redactUrl } from './redact.ts';

export type Log = Logger;

export interface LogOptions {
  readonly level: LogLevel;
  /** Format of standard output; the file is always JSON. */
  readonly format: 'json' | 'colored';
  /** Absolute path; `undefined` when lines go to standard output only. */
  readonly file: string | undefined;
  readonly isRotated: boolean;
  readonly maxBytes: number;
  readonly backups: number;
  readonly service: string;
  readonly environment: string;
  /** Number of this process where several write the same log; added to each line. */
  readonly worker?: number;
  /** Counters of the metrics. */
  readonly counters: { lostLines: number };
  /** Replaces standard output. */
  readonly output?: LogTarget;
  /** Replaces standard error in tests. */
  readonly sayFailure?: (text: string) => void;
}

export interface OpenLog {
  readonly log: Log;
  /** Writes a line of another process's log, with its line break, as if this process had logged it. */
  readonly writeLine: (line: string) => void;
  /** Writes the buffered lines before it returns, for a process that is about to end. */
  readonly flushSync: () => void;
  /** Writes the buffered lines, then closes the file. Later lines go to standard output only. */
  readonly close: () => Promise<void>;
}

export function openLog(options: LogOptions): OpenLog {
  const failures = new LogFailures({
    counters: options.counters,
    ...(options.sayFailure && { say: options.sayFailure }),
  });
  const output = new LogSink(options.output ?? new StdoutTarget(), failures);
  const rotation = options.isRotated ? { maxBytes: options.maxBytes, backups: options.backups } : undefined;
  let file =
    options.file === undefined
      ? undefined
      : new LogSink(new FileTarget({ file: options.file, rotation }), failures);
  const isColored = options.format === 'colored';

  const writeLine = (line: string): void => {
    output.write(isColored ? coloredLine(line) : line);
    file?.write(line);
  };

  const log = pino(
    {
      level: PINO_LEVELS[options.level],
      messageKey: 'message',
      base: {
        service: options.service,
        environment: options.environment,
        ...(options.worker !== undefined && { worker: options.worker }),
      },
      timestamp: () => `,"timestamp":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: LEVEL_NAMES[label] ?? label }) },
      serializers: {
        message: redactUrlField,
        url: redactUrlField,
        headers: redactHeadersField,
        req: requestFields,
        err: errorFields,
      },
      redact: {
        paths: ['authorization', 'cookie', 'password', 'secret', 'token', 'ticket', 'api_key', 'apiKey'],
        censor: '***',
      },
    },
    { write: writeLine },
  );

  return {
    log,
    writeLine,
    flushSync: () => {
      output.flushSync();
      file?.flushSync();
    },
    close: async () => {
      const closing = file;
      file = undefined;
      await Promise.all([output.close(), closing?.close()]);
    },
  };
}

function redactUrlField(url: unknown): unknown {
  return typeof url === 'string' ? redactUrl(url) : url;
}

function redactHeadersField(headers: unknown): unknown {
  return typeof headers === 'object' && headers !== null
    ? redactHeaders(headers as Record<string, unknown>)
    : headers;
}

/** The fields that identify a request of any class. */
function requestFields(request: unknown): unknown {
  if (typeof request !== 'object' || request === null) return request;
  const { id, method, url, ip } = request as Record<'id' | 'method' | 'url' | 'ip', unknown>;
  return { id, method, url: redactUrlField(url), ip };
}

function errorFields(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const fields = stdSerializers.err(error);
  // Errors of libraries quote the URL that failed, including Redis passwords and tickets.
  return { ...fields, message: redactUrl(fields.message), stack: redactUrl(fields.stack) };
}
