/** Checks, before anything is opened, that TLS can be served as configured. */
import { statSync } from 'node:fs';
import path from 'node:path';
import type { Values } from '../settings/schema.ts';
import { readTlsFiles, TlsFileProblem, type TlsPaths } from '../tls-files.ts';
import type { Finding } from './finding.ts';

/** Returns `undefined` when TLS is off or incompletely configured. */
export function tlsPaths(values: Values, rootDir: string): TlsPaths | undefined {
  const { ENABLE_SSL: isOn, SSL_CERT_PATH: cert, SSL_KEY_PATH: key, SSL_CA_PATH: ca } = values;
  if (!isOn || cert === undefined || key === undefined) return undefined;
  return {
    cert: path.resolve(rootDir, cert),
    key: path.resolve(rootDir, key),
    ca: ca === undefined ? undefined : path.resolve(rootDir, ca),
  };
}

export function tlsProblems(values: Values, rootDir: string): Finding[] {
  if (!values.ENABLE_SSL) return [];
  const paths = tlsPaths(values, rootDir);
  if (paths === undefined) {
    const missing = (['SSL_CERT_PATH', 'SSL_KEY_PATH'] as const).filter((v) => values[v] === undefined);
    return [{ variable: 'ENABLE_SSL', problem: `needs ${missing.join(' and ')}` }];
  }
  try {
    readTlsFiles(paths);
    return [];
  } catch (error) {
    if (!(error instanceof TlsFileProblem)) throw error;
    return [{ variable: error.variable, problem: error.message }];
  }
}

const OTHERS_MAY_READ = 0o004;

/** Called only when `tlsProblems` has found nothing. */
export function tlsWarnings(values: Values, rootDir: string): string[] {
  const paths = tlsPaths(values, rootDir);
  if (paths === undefined || values.ENVIRONMENT !== 'production') return [];
  if ((statSync(paths.key).mode & OTHERS_MAY_READ) === 0) return [];
  return [`SSL_KEY_PATH ${paths.key} is readable by every user of this machine; set its mode to 640 or 600`];
}
