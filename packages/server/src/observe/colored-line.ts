/** A JSON log line for a person at a terminal: time, level, message, then the other fields as `key=value`. */
import { styleText } from 'node:util';
import type { LogLevel } from './log-level.ts';

type Style = Parameters<typeof styleText>[0];

const LEVEL_STYLES: Readonly<Record<LogLevel, Style>> = {
  DEBUG: 'gray',
  INFO: 'green',
  WARNING: 'yellow',
  ERROR: 'red',
  CRITICAL: ['bold', 'red'],
};

/** The same on every line of a process, or shown elsewhere. */
const HIDDEN: ReadonlySet<string> = new Set([
  'level',
  'timestamp',
  'message',
  'service',
  'environment',
  'err',
]);

export function coloredLine(json: string): string {
  const line = JSON.parse(json) as Record<string, unknown>;
  const { level, timestamp, message, err } = line as {
    level: LogLevel;
    timestamp: string;
    message?: string;
    err?: unknown;
  };
  const fields = Object.entries(line)
    .filter(([key]) => !HIDDEN.has(key))
    .map(([key, value]) => styleText('gray', `${key}=`) + shown(value));
  const head = [
    styleText('gray', timestamp.slice(11, 23)),
    styleText(LEVEL_STYLES[level], level.padEnd(8)),
    // Line breaks would let a message forge other lines.
    ...(message === undefined ? [] : [message.replace(/[\r\n]+/g, ' ')]),
    ...fields,
  ].join(' ');
  return `${head}\n${err === undefined ? '' : stackLines(err)}`;
}

function shown(value: unknown): string {
  return typeof value === 'string' && /^[^\s"=\p{C}]+$/u.test(value) ? value : JSON.stringify(value);
}

function stackLines(err: unknown): string {
  const { stack, message } = err as { stack?: string; message?: string };
  const text = stack ?? message ?? JSON.stringify(err);
  return `${text
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n')}\n`;
}
