import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const conditions = ['source', 'module', 'node', 'development|production'];

/** These measure latencies, windows of time and memory, so nothing else may run at the same time. */
const QUIET = [
  'tests/access/half-open.test.ts',
  'tests/faults/slow-readers.test.ts',
  'tests/faults/stopping.test.ts',
];

/** Deployments of a fleet behind nginx, which take minutes; run by `npm run test:upgrade`. */
const UPGRADE = ['tests/upgrade/**/*.test.ts'];

/** The longest files start first; otherwise one of them would run alone at the end. */
const LONGEST = [
  'deploy/guide',
  'deploy/deploy',
  'doctor/doctor',
  'redis/fleet-standalone',
  'redis/fleet-partition',
  'deploy/scripts',
  'deploy/installing',
  'workers/worker-threads',
  'tls/certificates',
  'redis/views-cluster',
];

/** Options of all tests with real processes. */
const SYSTEM = {
  setupFiles: ['tests/support/vitest-setup.ts'],
  testTimeout: 300_000,
  hookTimeout: 120_000,
};

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const index = LONGEST.findIndex((name) => moduleId.endsWith(`/tests/${name}.test.ts`));
      return index < 0 ? LONGEST.length : index;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          maxWorkers: '100%',
          include: ['packages/*/src/**/*.test.ts', 'bench/src/**/*.test.ts'],
          // Every test takes a few seconds at most on an idle machine.
          testTimeout: 60_000,
        },
      },
      {
        // Real processes, several files at a time: most of them wait most of the time.
        extends: true,
        test: {
          ...SYSTEM,
          name: 'system',
          include: ['tests/**/*.test.ts'],
          exclude: [...QUIET, ...UPGRADE, '**/node_modules/**'],
          sequence: { groupOrder: 1 },
          maxWorkers: 3,
        },
      },
      {
        extends: true,
        test: {
          ...SYSTEM,
          name: 'quiet',
          include: QUIET,
          sequence: { groupOrder: 2 },
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: {
          ...SYSTEM,
          name: 'upgrade',
          include: UPGRADE,
          sequence: { groupOrder: 3 },
          fileParallelism: false,
          testTimeout: 600_000,
        },
      },
    ],
  },
});
