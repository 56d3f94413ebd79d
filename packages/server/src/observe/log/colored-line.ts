/** Formats a JSON log line for a terminal: time, level, message, then the other fields as `key=value`. */
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

/** Fields that are the same on every line of a process, or that are shown in another form. */
const HIDDEN: ReadonlySet<string> = new Set([
  'level',
  'timestamp',
  'message',
  'service',
  'environment',
  'err',
]);

interface Line {
  readonly level: LogLevel;
  readonly timestamp: string;
  readonly message?: string;
  readonly err?: unknown;
}

/** A line that the log did not write, such as a library's, is returned unchanged. */
export function coloredLine(json: string): string {
  const line = parsedLine(json);
  if (line === undefined) return json;
  const { level, timestamp, message, err } = line;
  const fields = Object.entries(line)
    .filter(([key]) => !HIDDEN.has(key))
    .map(([key, value]) => styleText('gray', `${key}=`) + shown(value));
  const head = [
    styleText('gray', timestamp.slice(11, 23)),
    styleText(LEVEL_STYLES[level], level.padEnd(8)),
    // Line breaks would let a message forge log lines.
    ...(message === undefined ? [] : [message.replace(/[\r\n]+/g, ' ')]),
    ...fields,
  ].join(' ');
  return `${head}\n${err === undefined ? '' : stackLines(err)}`;
}

function parsedLine(json: string): Line | undefined {
  try {
    const line: unknown = JSON.parse(json);
    const { level, timestamp } = line as Partial<Record<'level' | 'timestamp', unknown>>;
    return String(level) in LEVEL_STYLES && typeof timestamp === 'string' ? (line as Line) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined;
    throw error;
  }
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
