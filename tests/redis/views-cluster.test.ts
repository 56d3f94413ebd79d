/** Cluster views on a cluster of Redis servers. */
import { afterAll, beforeAll } from 'vitest';
import { ClusterSetup } from '../support/redis/cluster-setup.ts';
import { describeViews } from '../support/redis/describe-views.ts';
import { clusterEnv } from '../support/redis/service-env.ts';

let setup: ClusterSetup;
beforeAll(async () => {
  setup = await ClusterSetup.start();
});
afterAll(() => setup.dispose());

describeViews('nodes on a cluster', () => clusterEnv(setup));
