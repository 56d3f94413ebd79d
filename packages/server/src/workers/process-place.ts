/**
 * The place of this process among the processes of the service. Two supervisors can start several processes on one
 * port: the service's own primary process (`WORKER_THREADS`), and PM2 in cluster mode, whose daemon knows nothing of
 * the service.
 */

/** How workers share a port: each with a socket of its own, or all with the socket of the primary process. */
export const PORT_SHARINGS = ['own_sockets', 'primary_socket'] as const;
export type PortSharing = (typeof PORT_SHARINGS)[number];

export type ProcessPlace =
  | { readonly kind: 'alone' }
  /** A worker of the service's primary process, which serves the metrics and writes the log; `index` counts from 1. */
  | { readonly kind: 'worker'; readonly index: number; readonly sharing: PortSharing }
  /** A process of PM2 in cluster mode; `index` counts from 0, as PM2 does. */
  | { readonly kind: 'instance'; readonly index: number };

/** Environment variable in which the primary process passes a worker its place. */
export const WORKER_VARIABLE = 'MESSAGE_PUSH_WORKER';

export function workerVariable(index: number, sharing: PortSharing): string {
  return `${index}:${sharing}`;
}

/** `isClusterWorker` is `cluster.isWorker`. */
export function processPlace(
  env: Readonly<Record<string, string | undefined>>,
  isClusterWorker: boolean,
): ProcessPlace {
  // PM2 sets its variables in fork mode too, where the port is not shared.
  if (!isClusterWorker) return { kind: 'alone' };
  const [index = '', sharingWord] = (env[WORKER_VARIABLE] ?? '').split(':');
  const sharing = PORT_SHARINGS.find((word) => word === sharingWord);
  if (sharing !== undefined) return { kind: 'worker', index: Number(index), sharing };
  const instance = Number(env['NODE_APP_INSTANCE'] ?? 0);
  return { kind: 'instance', index: Number.isSafeInteger(instance) && instance >= 0 ? instance : 0 };
}
