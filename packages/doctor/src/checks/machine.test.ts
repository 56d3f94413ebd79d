import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkMachine } from './machine.ts';

const PID = 4711;
const PORT = 8089;

let proc: string;
beforeEach(() => {
  proc = mkdtempSync(join(tmpdir(), 'doctor-proc-'));
  write('sys/net/core/somaxconn', '4096\n');
  write(`${PID}/limits`, limits(65_536));
});
afterEach(() => rmSync(proc, { recursive: true }));

function write(path: string, text: string): void {
  const file = join(proc, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

function limits(files: number | 'unlimited'): string {
  return `Limit                     Soft Limit           Hard Limit           Units
Max processes             95000                95000                processes
Max open files            ${files}                 ${files}                files
`;
}

function found(pid: number | undefined = PID) {
  const { findings, skipped } = checkMachine({ pid, servicePort: PORT, proc });
  return skipped ?? findings.map(({ code, seen }) => [code, seen]);
}

describe('on the server', () => {
  it('a process with room for its streams, and a kernel with room for those that wait, are fine', () => {
    expect(found()).toEqual([]);
    write(`${PID}/limits`, limits('unlimited'));
    expect(found()).toEqual([]);
  });

  it('the limit of open files is held against MAX_CONNECTIONS of the environment', () => {
    write(`${PID}/environ`, 'A=1\0MAX_CONNECTIONS=70000\0');
    expect(found()).toEqual([
      ['file_descriptors', { limit: 65_536, needed: 70_200, maxConnections: 70_000, pid: PID }],
    ]);
  });

  it('or of the env file that the service reads, over which the environment wins', () => {
    const folder = mkdtempSync(join(tmpdir(), 'doctor-service-'));
    mkdirSync(join(folder, 'config'));
    writeFileSync(join(folder, 'config/production.env'), 'MAX_CONNECTIONS=70000\nLISTEN_BACKLOG=16\n');
    symlinkSync(folder, join(proc, `${PID}/cwd`));
    write(`${PID}/environ`, 'ENVIRONMENT=production\0LISTEN_BACKLOG=2048\0');
    expect(found()).toMatchObject([['file_descriptors', { maxConnections: 70_000 }]]);
    rmSync(folder, { recursive: true });
  });

  it('a short backlog is found, or the kernel that shortens it', () => {
    write(`${PID}/environ`, 'LISTEN_BACKLOG=511\0');
    expect(found()).toEqual([['listen_backlog', { backlog: 511 }]]);
    write(`${PID}/environ`, '');
    write('sys/net/core/somaxconn', '128\n');
    expect(found()).toEqual([['somaxconn', { somaxconn: 128, backlog: 4096 }]]);
  });

  it('the process is found by the port on which it listens', () => {
    write(
      'net/tcp6',
      `  sl  local_address remote_address st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1F99 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0
   1: 00000000000000000000000000000000:1F99 00000000000000000000000000000000:0001 01 00000000:00000000 00:00000000 00000000  1000        0 999 1 0
`,
    );
    mkdirSync(join(proc, `${PID}/fd`), { recursive: true });
    symlinkSync('socket:[12345]', join(proc, `${PID}/fd/20`));
    write(`${PID}/limits`, limits(100));
    expect(checkMachine({ pid: undefined, servicePort: PORT, proc }).findings).toMatchObject([
      { code: 'file_descriptors', seen: { pid: PID } },
    ]);
  });
});

describe('elsewhere', () => {
  it('there is nothing to look at', () => {
    expect(checkMachine({ pid: undefined, servicePort: PORT, proc }).skipped).toBe('process_not_found');
    expect(found(1)).toBe('process_not_readable');
  });
});
