/** A certificate authority for one test and a certificate for 127.0.0.1, made with openssl. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Paths of PEM files. */
export interface Certificates {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** The caller creates and removes `folder`. */
export function makeCertificates(folder: string): Certificates {
  const openssl = (line: string): void => {
    execFileSync('openssl', line.split(' '), {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 10_000,
    });
  };
  const newKey = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';
  openssl(`req -x509 ${newKey} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem`);
  openssl(`req ${newKey} -subj /CN=redis -keyout redis.key -out redis.csr`);
  writeFileSync(join(folder, 'names.cnf'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  const authority = '-CA ca.pem -CAkey ca.key -CAcreateserial';
  openssl(`x509 -req -in redis.csr ${authority} -days 2 -extfile names.cnf -out redis.pem`);
  return { ca: join(folder, 'ca.pem'), cert: join(folder, 'redis.pem'), key: join(folder, 'redis.key') };
}
