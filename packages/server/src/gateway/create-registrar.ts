/** The registrar that the configuration asks for. One process of the service has it, whatever serves the port. */
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
  /** On which it listens. */
  readonly port: number;
  readonly log: Log;
}

/** undefined: there is no gateway. */
export function createRegistrar(parts: RegistrarParts): GatewayRegistrar | undefined {
  const { gateway, service, scheme, port, log } = parts;
  if (gateway === undefined) return undefined;
  const url = gateway.publicUrl ?? derivedUrl({ scheme, host: service.host, port, hostname: hostname() });
  log.info(
    { announced: url },
    `the service announces itself as ${url}${gateway.publicUrl === undefined ? '; set SERVICE_PUBLIC_URL where others reach it by another' : ''}`,
  );
  return new GatewayRegistrar({
    url: gateway.url,
    body: registrationJson({ name: service.name, version: service.version, port, url }),
    intervalMs: gateway.intervalMs,
    log,
    random: Math.random,
  });
}
