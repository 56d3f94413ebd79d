/**
 * Checks, on the server's own machine, the limits that the system sets for the process of the service. They are read
 * from `/proc`; on other systems the check is skipped.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { type CheckOutcome, made, skipped } from '../report.ts';

export interface MachineOptions {
  /** `undefined` for the process that listens on `servicePort`. */
  readonly pid: number | undefined;
  readonly servicePort: number;
  readonly proc?: string;
}

/** Descriptors for the store, the log, Redis and publishers, beyond those of the streams. */
const SPARE_DESCRIPTORS = 200;
const DEFAULT_MAX_CONNECTIONS = 1000;
const DEFAULT_BACKLOG = 4096;
/** With a shorter backlog, connections of a reconnecting crowd wait for a retransmitted SYN. */
const MIN_BACKLOG = 1024;
const LISTENING = '0A';

export function checkMachine({ pid: asked, servicePort, proc = '/proc' }: MachineOptions): CheckOutcome {
  const pid = asked ?? listenerOf(servicePort, proc);
  if (pid === undefined) return skipped('machine', 'process_not_found');
  const limit = openFilesLimit(pid, proc);
  if (limit === undefined) return skipped('machine', 'process_not_readable');
  const settings = settingsOf(pid, proc);
  const maxConnections = numberOf(settings['MAX_CONNECTIONS']) ?? DEFAULT_MAX_CONNECTIONS;
  const needed = maxConnections + SPARE_DESCRIPTORS;
  const backlog = numberOf(settings['LISTEN_BACKLOG']) ?? DEFAULT_BACKLOG;
  const somaxconn = numberOf(readOf(join(proc, 'sys/net/core/somaxconn'))?.trim());
  const wanted = Math.min(MIN_BACKLOG, maxConnections);
  return made('machine', [
    limit < needed ? { code: 'file_descriptors', seen: { limit, needed, maxConnections, pid } } : undefined,
    backlog < wanted ? { code: 'listen_backlog', seen: { backlog } } : undefined,
    somaxconn !== undefined && somaxconn < Math.min(backlog, DEFAULT_BACKLOG) && backlog >= wanted
      ? { code: 'somaxconn', seen: { somaxconn, backlog } }
      : undefined,
  ]);
}

function openFilesLimit(pid: number, proc: string): number | undefined {
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(readOf(join(proc, `${pid}/limits`)) ?? '')?.[1];
  if (soft === undefined) return undefined;
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}

/** Returns the settings of the process: its environment, which overrides its env file. */
function settingsOf(pid: number, proc: string): Record<string, string | undefined> {
  const folder = join(proc, String(pid));
  const environment = Object.fromEntries(
    (readOf(join(folder, 'environ')) ?? '').split('\0').map((pair) => {
      const equals = pair.indexOf('=');
      return [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  ) as Record<string, string>;
  const file = environment['CONFIG_FILE'] || `config/${environment['ENVIRONMENT'] || 'development'}.env`;
  const path = file.startsWith('/') ? file : join(folder, 'cwd', file);
  const fromFile = parseEnv(readOf(path) ?? '');
  return {
    ...fromFile,
    ...Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== '')),
  };
}

/** Returns the process that listens on the port, if it is visible. */
function listenerOf(port: number, proc: string): number | undefined {
  const inodes = new Set(
    ['tcp', 'tcp6'].flatMap((table) => inodesOf(port, readOf(join(proc, 'net', table)) ?? '')),
  );
  if (inodes.size === 0) return undefined;
  for (const pid of entriesOf(proc).filter((name) => /^\d+$/.test(name))) {
    const folder = join(proc, pid, 'fd');
    if (entriesOf(folder).some((fd) => inodes.has(targetOf(join(folder, fd))))) return Number(pid);
  }
  return undefined;
}

/** Returns the listening sockets, in the form of the links in `/proc/PID/fd`. */
function inodesOf(port: number, table: string): string[] {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return table.split('\n').flatMap((line) => {
    const [, local = '', , state = '', , , , , , inode = ''] = line.trim().split(/\s+/);
    return state === LISTENING && local.endsWith(wanted) ? [`socket:[${inode}]`] : [];
  });
}

function readOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // The file belongs to another user, is gone, or this is another system.
    return undefined;
  }
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    // As above.
    return [];
  }
}

function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    // As above.
    return '';
  }
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}
