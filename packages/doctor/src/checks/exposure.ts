/**
 * Checks what the public URL exposes: the health of the service, and what only operators and publishers should reach.
 */

import { lookup } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import { hostOf } from '../exchange.ts';
import { objectOf, wordOf } from '../json-text.ts';
import { type CheckOutcome, type Finding, made, skipped } from '../report.ts';
import type { Service, TextAnswer } from '../service.ts';

const METRICS_PATHS = ['/sse/metrics', '/metrics'];
const METRICS_TIMEOUT_MS = 3000;

export async function checkHealth(service: Service): Promise<CheckOutcome> {
  const [health, ready] = await Promise.all([get(service, '/sse/health'), get(service, '/sse/health/ready')]);
  const state = health?.json?.['status'];
  const queue = objectOf(health?.json?.['message_queue']);
  const findings: (Finding | undefined)[] = [];
  if (ready?.status === 503 && ready.json?.['status'] === 'not_ready') {
    findings.push({ code: 'not_ready', seen: { reason: wordOf(ready.json['reason']) } });
  } else if (state === 'degraded' || state === 'unhealthy') {
    findings.push({ code: 'degraded', seen: { state, reason: wordOf(queue?.['reason']) } });
  }
  return made('health', findings);
}

export async function checkExposure(service: Service, metricsPort: number): Promise<CheckOutcome> {
  if (!service.isPublic) return skipped('exposure', 'not_public');
  const [stats, health, ...metrics] = await Promise.all([
    get(service, '/sse/api/v1/connections/stats'),
    get(service, '/sse/health'),
    ...METRICS_PATHS.map((path) => get(service, path)),
  ]);
  const open = METRICS_PATHS.filter((_, i) => isMetrics(metrics[i]));
  const direct = await metricsAtPort(service, metricsPort);
  return made('exposure', [
    stats?.json?.['success'] === true
      ? { code: 'api_public', seen: { path: '/sse/api/v1/connections/stats' } }
      : undefined,
    ...open.map(
      (path): Finding => ({
        code: 'metrics_public',
        seen: { url: service.base.href.replace(/\/$/, '') + path },
      }),
    ),
    direct === undefined ? undefined : { code: 'metrics_port_public', seen: { url: direct } },
    health?.json?.['message_queue'] === undefined ? undefined : { code: 'health_public', seen: {} },
  ]);
}

/** Returns the URL of the metrics port if the host exposes it to other machines. */
async function metricsAtPort(service: Service, port: number): Promise<string | undefined> {
  const url = new URL(`http://${service.base.hostname}:${port}/sse/metrics`);
  const { detours } = service.options;
  const isMapped = detours.some(({ urlPort }) => urlPort === port);
  // On the server's own machine the port is reachable whatever the firewall does, and a detour leads elsewhere.
  if (!isMapped && (detours.length > 0 || (await isThisMachine(hostOf(url))))) return undefined;
  const answer = await service.text(url, { timeoutMs: METRICS_TIMEOUT_MS }).catch((): undefined => undefined);
  return isMetrics(answer) ? url.href : undefined;
}

export async function isThisMachine(host: string): Promise<boolean> {
  const own = Object.values(networkInterfaces()).flatMap((list = []) => list.map(({ address }) => address));
  const addresses = await lookup(host, { all: true }).catch(() => []);
  return addresses.some(({ address }) => address.startsWith('127.') || own.includes(address));
}

function isMetrics(answer: TextAnswer | undefined): boolean {
  return answer?.status === 200 && answer.text.includes('message_push_');
}

/** Resolves with `undefined` when there is no response. */
function get(service: Service, path: string): Promise<TextAnswer | undefined> {
  return service.get(path).catch((): undefined => undefined);
}
