/**
 * Channel names: `prefix:id`, or `broadcast`, which every stream joins.
 *
 * A name is used in URLs, in the check words of cursors, in store keys and in logs. It therefore has no control
 * characters, no lone surrogates and at most `MAX_CHANNEL_NAME_BYTES` bytes of UTF-8.
 */

export const BROADCAST_CHANNEL = 'broadcast';
export const MAX_CHANNEL_NAME_BYTES = 256;

/** The target fields of a message, in the order in which their channels are listed in a publication. */
export const TARGET_PREFIXES = {
  user_id: 'user',
  session_id: 'session',
  channel: 'channel',
  service: 'service',
  kb_id: 'kb',
  task_id: 'task',
  agent_id: 'agent',
  // Last, because it has no history: a stream that joined another of the channels is served from that one,
  // which a reconnected stream can recover.
  connection_id: 'connection',
} as const;

export type TargetField = keyof typeof TARGET_PREFIXES;

const PREFIXES: ReadonlySet<string> = new Set(Object.values(TARGET_PREFIXES));
const encoder = new TextEncoder();

/** The reason why `name` may not be (part of) a channel name; `undefined` when it may. */
export function nameProblem(name: string, maxBytes = MAX_CHANNEL_NAME_BYTES): string | undefined {
  if (name.length === 0) return 'must not be empty';
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) {
      return `must not contain control characters (U+${code.toString(16).toUpperCase().padStart(4, '0')} at position ${i})`;
    }
  }
  if (!name.isWellFormed()) return 'must be well-formed Unicode (it contains a lone surrogate)';
  // A UTF-16 unit is at most 3 bytes of UTF-8, so short names need no encoding to be measured.
  if (name.length * 3 > maxBytes && encoder.encode(name).length > maxBytes) {
    return `must be at most ${maxBytes} bytes of UTF-8`;
  }
  return undefined;
}

/** The reason why `name` is not a complete channel name; `undefined` when it is. */
export function channelNameProblem(name: string): string | undefined {
  const problem = nameProblem(name);
  if (problem !== undefined || name === BROADCAST_CHANNEL) return problem;
  const colon = name.indexOf(':');
  if (colon <= 0 || !PREFIXES.has(name.slice(0, colon))) {
    return `must be "${BROADCAST_CHANNEL}" or start with one of ${[...PREFIXES].map((p) => `${p}:`).join(', ')}`;
  }
  return colon === name.length - 1 ? `must have an id after "${name}"` : undefined;
}

/** The channel that an entry of `?channels=` names: a bare name `a` means `channel:a`, a prefixed one itself. */
export function channelOfQueryName(name: string): string {
  const colon = name.indexOf(':');
  if (name === BROADCAST_CHANNEL || (colon > 0 && PREFIXES.has(name.slice(0, colon)))) return name;
  return `channel:${name}`;
}

/** `connection:` channels end with their stream and have no history. */
export function isTransientChannel(name: string): boolean {
  return name.startsWith('connection:');
}
