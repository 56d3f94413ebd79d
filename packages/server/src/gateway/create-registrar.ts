/** Creates the registrar that the configuration asks for. Only one process of the service has one. */
import { hostname } from 'node:os';
import type { Log } from '../observe/log/log.ts';
import { GatewayRegistrar } from './gateway-registrar.ts';
import { derivedUrl, registrationJson } from './registration.ts';

export interface RegistrarParts {
  readonly gateway:
    | {
        readonly url: string;
        readonly publicUrl: string | undefined;
        readonly intervalMs: number | undefined;
      }
    | undefined;
  readonly service: { readonly name: string; readonly version: string; readonly host: string };
  readonly scheme: 'http' | 'https';
  /** The port on which the service listens. */
  readonly port: number;
  readonly log: Log;
}

/** Returns `undefined` when no gateway is configured. */
export function createRegistrar(parts: RegistrarParts): GatewayRegistrar | undefined {
  const { gateway, service, scheme, port, log } = parts;
  if (gateway === undefined) return undefined;
  const url = gateway.publicUrl ?? derivedUrl({ scheme, host: service.host, port, hostname: hostname() });
  log.info(
    { announced: url },
    `the service announces itself as ${url}${gateway.publicUrl === undefined ? '; set SERVICE_PUBLIC_URL if others reach it at another URL' : ''}`,
  );
  return new GatewayRegistrar({
    url: gateway.url,
    body: registrationJson({ name: service.name, version: service.version, port, url }),
    intervalMs: gateway.intervalMs,
    log,
    random: Math.random,
  });
}
