/**
 * What a gateway is told of this service. Field names and `type` are part of the contract with gateways: add to
 * them, change none.
 */
import { ENDPOINTS } from '../core/endpoints.ts';

export interface ServiceAddress {
  readonly scheme: 'http' | 'https';
  /** Where it listens; may be an address of all interfaces. */
  readonly host: string;
  readonly port: number;
  /** Of the machine. */
  readonly hostname: string;
}

export interface RegistrationOptions {
  readonly name: string;
  readonly version: string;
  readonly port: number;
  /** Without a slash at its end. */
  readonly url: string;
}

/** Of all interfaces: nobody can connect to these. */
const ANY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::', '[::]']);

/** Where others reach a service of which only the listening address is known. */
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
