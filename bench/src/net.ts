import { createServer } from 'node:net';

/** Resolves with a port on which nothing listens at the moment. */
export function getFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      if (address === null || typeof address === 'string') reject(new Error('no port'));
      else probe.close(() => resolve(address.port));
    });
  });
}
