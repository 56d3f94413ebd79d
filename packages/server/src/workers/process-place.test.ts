import { describe, expect, it } from 'vitest';
import { PORT_SHARINGS, processPlace, WORKER_VARIABLE, workerVariable } from './process-place.ts';

describe('the place of a process', () => {
  it.each(PORT_SHARINGS)('of a worker is what its primary process says: %s', (sharing) => {
    const env = { [WORKER_VARIABLE]: workerVariable(3, sharing) };
    expect(processPlace(env, true)).toEqual({ kind: 'worker', index: 3, sharing });
  });

  it('is that of an instance where a cluster knows nothing of workers', () => {
    expect(processPlace({ NODE_APP_INSTANCE: '2' }, true)).toEqual({ kind: 'instance', index: 2 });
    expect(processPlace({}, true)).toEqual({ kind: 'instance', index: 0 });
    expect(processPlace({ NODE_APP_INSTANCE: 'x', [WORKER_VARIABLE]: '1:x' }, true)).toEqual({
      kind: 'instance',
      index: 0,
    });
  });

  it('is its own outside of a cluster, whatever the environment holds', () => {
    const env = { NODE_APP_INSTANCE: '2', [WORKER_VARIABLE]: workerVariable(1, 'own_sockets') };
    expect(processPlace(env, false)).toEqual({ kind: 'alone' });
  });
});
