import { describe, expect, it } from 'vitest';
import {
  parseKilobytes,
  parseSendQueues,
  parseStat,
  processTree,
  readCpuUs,
  readFileLimit,
  readUsage,
} from './proc.ts';

const STAT =
  '4242 (node (worker) 1) S 17 4242 4242 0 -1 4194560 9 8 7 6 1234 66 5 4 20 0 11 0 999 1000000 250 18446744073709551615';

describe('reading /proc', () => {
  it('finds parent and CPU time behind a name with spaces and parentheses', () => {
    expect(parseStat(STAT)).toEqual({ pid: 4242, parentPid: 17, cpuUs: 13_000_000 });
  });

  it('refuses what is not a stat line', () => {
    expect(() => parseStat('nonsense')).toThrow(/not a line/);
  });

  it('reads a value by its whole name', () => {
    const text = 'Pss_Anon:  1 kB\nVmRSS:\t   2048 kB\nPss:      12 kB\n';
    expect(parseKilobytes(text, 'VmRSS')).toBe(2048 * 1024);
    expect(parseKilobytes(text, 'Pss')).toBe(12 * 1024);
    expect(() => parseKilobytes(text, 'Rss')).toThrow(/no Rss/);
  });

  it('finds children of children and nobody else', () => {
    const stats = [
      { pid: 3, parentPid: 2, cpuUs: 0 },
      { pid: 2, parentPid: 1, cpuUs: 0 },
      { pid: 9, parentPid: 8, cpuUs: 0 },
    ];
    expect(processTree(1, stats)).toEqual([1, 2, 3]);
  });

  it('adds up the send queues of one local port', () => {
    const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when
   0: 0100007F:1F99 00000000:0000 0A 00000000:00000005 00:00000000
   1: 0100007F:1F99 0100007F:C350 01 000000FF:00000000 00:00000000
   2: 0100007F:1F99 0100007F:C351 01 00000001:00000000 00:00000000
   3: 0100007F:C350 0100007F:1F99 01 00000FFF:00000000 00:00000000
`;
    expect(parseSendQueues(text, 8089)).toBe(256);
  });

  it.runIf(process.platform === 'linux')('agrees with what this process knows of itself', () => {
    const usage = readUsage(process.pid);
    expect(usage.rssBytes).toBeGreaterThan(10 * 2 ** 20);
    expect(usage.pssBytes).toBeLessThanOrEqual(usage.rssBytes);
    expect(readCpuUs(process.pid)).toBeGreaterThan(0);
    expect(readFileLimit()).toBeGreaterThan(0);
  });
});
