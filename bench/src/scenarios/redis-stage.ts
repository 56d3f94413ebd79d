/** Nodes of the service on one Redis, with their load. Nodes and Redis are measured separately. */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { endChild, trackDirectory } from '../children.ts';
import { getFreePort } from '../net.ts';
import { ours, startService } from '../peers/ours.ts';
import { RedisServer } from '../redis-server.ts';
import type { RedisContext } from './scenario.ts';
import { type Server, STOP_GRACE_MS, Stage, withLoad } from './stage.ts';

/**
 * Redis runs on the load's cores: it and the nodes wait for each other, so they would not run at the same time
 * anyway.
 */
export function onNodes<T>(
  context: RedisContext,
  count: number,
  use: (stage: Stage, redis: RedisServer) => Promise<T>,
): Promise<T> {
  const { directory, pinning, redisOptions } = context;
  return RedisServer.with(
    { directory, cores: pinning.load, isDurable: true, options: redisOptions },
    (redis) =>
      withNodes(context, redis, count, (servers) =>
        withLoad(new Stage({ ...context, peer: ours }, servers), (stage) => use(stage, redis)),
      ),
  );
}

async function withNodes<T>(
  context: RedisContext,
  redis: RedisServer,
  count: number,
  use: (servers: readonly Server[]) => Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(context.directory, 'bench-nodes-'));
  const removeDirectory = trackDirectory(directory);
  const servers: { process: ChildProcess; port: number }[] = [];
  try {
    for (let i = 0; i < count; i++) {
      const port = await getFreePort();
      const { settings, pinning, nodeOptions, fileLimit } = context;
      const options = {
        port,
        directory,
        cores: pinning.server,
        maxStreams: settings.streams,
        nodeOptions,
        fileLimit,
      };
      const process = await startService(options, {
        MESSAGE_QUEUE_TYPE: 'redis',
        REDIS_HOST: '127.0.0.1',
        REDIS_PORT: String(redis.port),
      });
      servers.push({ process, port });
    }
    return await use(servers);
  } finally {
    await Promise.all(servers.map((server) => endChild(server.process, STOP_GRACE_MS)));
    removeDirectory();
  }
}
