/**
 * The registration that a gateway gets. Gateways rely on the field names and on `type`: fields may be added, never
 * changed.
 */
import { ENDPOINTS } from '../core/endpoints.ts';

export interface ServiceAddress {
  readonly scheme: 'http' | 'https';
  /** The address on which the service listens; may be the wildcard address. */
  readonly host: string;
  readonly port: number;
  /** Host name of the machine. */
  readonly hostname: string;
}

export interface RegistrationOptions {
  readonly name: string;
  readonly version: string;
  readonly port: number;
  /** Without a trailing slash. */
  readonly url: string;
}

/** Wildcard addresses, which are no addresses to connect to. */
const ANY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::', '[::]']);

/** Derives the URL of a service from the address on which it listens. */
export function derivedUrl({ scheme, host, port, hostname }: ServiceAddress): string {
  const name = ANY_ADDRESS.has(host) ? hostname : host;
  return `${scheme}://${name.includes(':') && !name.startsWith('[') ? `[${name}]` : name}:${port}`;
}

export function registrationJson({ name, version, port, url }: RegistrationOptions): string {
  return JSON.stringify({
    service_name: name,
    port,
    url,
    health_url: `${url}${ENDPOINTS.health}`,
    type: 'message-push',
    version,
    endpoints: ENDPOINTS,
  });
}
