import { describe, expect, it } from 'vitest';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load-config.ts';
import { placeConfig } from './place-config.ts';

function configOf(env: Readonly<Record<string, string>>): Config {
  return loadConfig({ env, rootDir: '/nowhere', packageVersion: '1.2.3' }).config;
}
const config = configOf({ LOG_FILE: '/var/log/push/service.log', METRICS_PORT: '9090' });

describe('the configuration of a process', () => {
  it('is what was set where it is alone', () => {
    expect(placeConfig(config, { kind: 'alone' })).toBe(config);
  });

  it('leaves metrics and log to the primary process in a worker', () => {
    const placed = placeConfig(config, { kind: 'worker', index: 2, sharing: 'own_sockets' });
    expect(placed.metrics.isEnabled).toBe(false);
    expect([placed.log.format, placed.log.file]).toEqual(['json', undefined]);
  });

  it('gives each PM2 instance a metrics port and a log file of its own', () => {
    const placed = [0, 1, 2].map((index) => placeConfig(config, { kind: 'instance', index }));
    expect(placed.map(({ metrics, log }) => [metrics.port, log.file])).toEqual([
      [9090, '/var/log/push/service.0.log'],
      [9091, '/var/log/push/service.1.log'],
      [9092, '/var/log/push/service.2.log'],
    ]);
    const bare = configOf({ LOG_FILE: 'none', METRICS_PORT: '0' });
    const { log, metrics } = placeConfig(bare, { kind: 'instance', index: 5 });
    expect([log.file, metrics.port]).toEqual([undefined, 0]);
  });

  it('is refused where there is no metrics port for an instance, unless nobody wants metrics', () => {
    const last = { METRICS_PORT: '65535' };
    const instance = { kind: 'instance', index: 1 } as const;
    expect(() => placeConfig(configOf(last), instance)).toThrow(/METRICS_PORT=65535.*65536.*above 65535/);
    const beside = configOf({ METRICS_PORT: '8088', SERVICE_PORT: '8089' });
    expect(() => placeConfig(beside, instance)).toThrow(/port 8089, which is SERVICE_PORT=8089/);
    expect(placeConfig(configOf({ ...last, ENABLE_METRICS: 'false' }), instance).metrics.isEnabled).toBe(
      false,
    );
  });
});
