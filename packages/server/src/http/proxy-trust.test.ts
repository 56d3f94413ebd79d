import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createProxyTrust } from './proxy-trust.ts';

const from = (remoteAddress: string): Socket => ({ remoteAddress }) as Socket;

describe('the trust in proxies', () => {
  it('takes the address of a client from a trusted proxy, and from nobody else', () => {
    const { clientIp } = createProxyTrust(['127.0.0.1', '10.0.0.0/8']);
    expect(clientIp(from('::ffff:127.0.0.1'), '203.0.113.7, 10.1.2.3')).toBe('203.0.113.7');
    expect(clientIp(from('203.0.113.9'), '203.0.113.7')).toBe('203.0.113.9');
    expect(clientIp(from('127.0.0.1'), undefined)).toBe('127.0.0.1');
    expect(createProxyTrust(false).clientIp(from('127.0.0.1'), '203.0.113.7')).toBe('127.0.0.1');
    expect(createProxyTrust(true).clientIp(from('198.51.100.1'), '203.0.113.7')).toBe('203.0.113.7');
  });

  it('believes a trusted proxy, and nobody else, that it tries another node', () => {
    const { retriesElsewhere } = createProxyTrust(['127.0.0.1']);
    expect(retriesElsewhere(from('127.0.0.1'), '1')).toBe(true);
    expect(retriesElsewhere(from('::ffff:127.0.0.1'), '1')).toBe(true);
    expect(retriesElsewhere(from('127.0.0.1'), undefined)).toBe(false);
    expect(retriesElsewhere(from('127.0.0.1'), '0')).toBe(false);
    expect(retriesElsewhere(from('203.0.113.9'), '1')).toBe(false);
    expect(createProxyTrust(false).retriesElsewhere(from('127.0.0.1'), '1')).toBe(false);
    expect(createProxyTrust(true).retriesElsewhere(from('203.0.113.9'), '1')).toBe(true);
  });
});
