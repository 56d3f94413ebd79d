/**
 * Reads the CPU time and the resident memory of a process and its descendants from `/proc`.
 *
 * Times cover all threads of a process. Their resolution is a clock tick (10 ms), so a window of 10 s on one core is
 * exact to 0.1 %.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ, the unit of times in `/proc`. It is 100 on all architectures that Node supports. */
const TICKS_PER_SECOND = 100;

export interface ProcessStat {
  readonly pid: number;
  readonly parentPid: number;
  readonly cpuUs: number;
}

/** Parses `/proc/PID/stat`. The name is in parentheses and may itself contain spaces and parentheses. */
export function parseStat(text: string): ProcessStat {
  const pid = Number.parseInt(text, 10);
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // proc(5) counts fields from 1: state is 3, ppid 4, utime 14, stime 15.
  const field = (number: number) => Number(fields[number - 3]);
  const stat = {
    pid,
    parentPid: field(4),
    cpuUs: ((field(14) + field(15)) * 1e6) / TICKS_PER_SECOND,
  };
  if (Object.values(stat).some(Number.isNaN)) throw new Error(`not a line of /proc/PID/stat: ${text}`);
  return stat;
}

/** Reads a value of `/proc/PID/status` or `smaps_rollup`, such as `VmRSS` or `Pss`, in bytes. */
export function parseKilobytes(text: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text);
  if (match === null) throw new Error(`no ${name} in:\n${text}`);
  return Number(match[1]) * 1024;
}

/** Returns `root` and all its descendants. */
export function processTree(root: number, stats: readonly ProcessStat[]): number[] {
  const tree = [root];
  for (let i = 0; i < tree.length; i++) {
    for (const stat of stats) if (stat.parentPid === tree[i]) tree.push(stat.pid);
  }
  return tree;
}

function readAllStats(): ProcessStat[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const text = readGone(`/proc/${name}/stat`);
      return text === undefined ? [] : [parseStat(text)];
    });
}

/** Reads a file of a process; returns `undefined` when the process has just ended. */
function readGone(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}

export interface ServerUsage {
  readonly cpuUs: number;
  readonly rssBytes: number;
  /** Memory shared between the server's processes is counted once. */
  readonly pssBytes: number;
}

/** Reads the resources that the process `root` and its descendants have used. */
export function readUsage(root: number): ServerUsage {
  const stats = readAllStats();
  let cpuUs = 0;
  let rssBytes = 0;
  let pssBytes = 0;
  for (const pid of processTree(root, stats)) {
    cpuUs += stats.find((stat) => stat.pid === pid)?.cpuUs ?? 0;
    const status = readGone(`/proc/${pid}/status`);
    const rollup = readGone(`/proc/${pid}/smaps_rollup`);
    if (status === undefined || rollup === undefined) continue;
    rssBytes += parseKilobytes(status, 'VmRSS');
    pssBytes += parseKilobytes(rollup, 'Pss');
  }
  return { cpuUs, rssBytes, pssBytes };
}

/** Reads only the CPU time, for the ends of a window: reading memory takes longer. */
export function readCpuUs(root: number): number {
  const stats = readAllStats();
  const tree = new Set(processTree(root, stats));
  return stats.reduce((sum, stat) => sum + (tree.has(stat.pid) ? stat.cpuUs : 0), 0);
}

/** Sums the send queues of the connections of a local port: bytes not sent yet, or sent but not acknowledged. */
export function parseSendQueues(text: string, localPort: number): number {
  const port = `:${localPort.toString(16).toUpperCase().padStart(4, '0')}`;
  let sum = 0;
  for (const line of text.split('\n')) {
    // sl local_address rem_address st tx_queue:rx_queue …
    const [, local, , , queues] = line.trim().split(/\s+/);
    if (local?.endsWith(port) && queues !== undefined) sum += Number.parseInt(queues, 16);
  }
  return sum;
}

/** Reads the bytes that the kernel buffers for a server's peers, outside the server's memory. */
export function readSendQueues(localPort: number): number {
  return parseSendQueues(readFileSync('/proc/net/tcp', 'utf8'), localPort);
}

/** Reads the soft limit of open files of this process, which its children inherit. */
export function readFileLimit(): number {
  const match = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
  return match?.[1] === undefined || match[1] === 'unlimited' ? Number.POSITIVE_INFINITY : Number(match[1]);
}
