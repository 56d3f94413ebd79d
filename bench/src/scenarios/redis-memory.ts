/** Redis memory per channel, per message, per remembered id, and per channel that a node watches. */
import { setTimeout as sleep } from 'node:timers/promises';
import { FleetLoad } from '../load/fleet-load.ts';
import { missingRedis, RedisServer, redisVersion } from '../redis-server.ts';
import type { Measurement, RedisContext, RedisScenario } from './scenario.ts';

const SIZES = [100, 1000, 100_000] as const;
/** More channels than this take too long to fill. */
const MAX_FILLED_CHANNELS = 1000;
const MIN_FOR_IDS = 1000;
const FEW = 10;
const MANY = 100;
const MAX_MESSAGES = 10_000;
/** Longer than the whole measurement. */
const ID_TTL_MS = 3_600_000;
const QUIET_MS = 500;
const MAX_QUIET_MS = 20_000;

export const redisMemory: RedisScenario = {
  name: 'redis-memory',
  title: 'Redis: memory',
  describe: (s) =>
    `used_memory of Redis for up to ${s.channels.toLocaleString('en')} channels: with few messages, with many, with ids, and watched by a node`,
  defaults: { channels: 100_000 },
  contenders: SIZES.map((channels) => ({
    name: nameOf(channels),
    label: `${channels.toLocaleString('en')} channels`,
    missing: missingRedis,
    version: redisVersion,
  })),
  metrics: [
    memoryMetric('oneBytes', 'a channel with one message'),
    memoryMetric('fewBytes', `a channel with ${FEW} messages`),
    memoryMetric('messageBytes', `each message beyond ${FEW}`),
    memoryMetric('idBytes', "an id of a publisher's, remembered"),
    memoryMetric('watchBytes', 'a channel that a node watches, with its audience'),
  ],

  runRound: async (context) => {
    const figures: Record<string, Measurement> = {};
    for (const channels of SIZES) {
      if (channels <= context.settings.channels) figures[nameOf(channels)] = await measure(context, channels);
    }
    return figures;
  },
};

function memoryMetric(key: string, label: string) {
  return { key, label, unit: 'bytes', better: 'lower', digits: 0, isCharted: true } as const;
}

function nameOf(channels: number): string {
  return `c${channels}`;
}

function measure(context: RedisContext, channels: number): Promise<Measurement> {
  const { directory, pinning, settings } = context;
  return RedisServer.with(
    { directory, cores: pinning.server, isDurable: false, options: context.redisOptions },
    async (redis) => {
      let measurement: Measurement | undefined;
      const options = {
        port: redis.port,
        count: 1,
        maxMessagesPerChannel: MAX_MESSAGES,
        idempotencyTtlMs: ID_TTL_MS,
      };
      const range = { prefix: 'user:', count: channels };
      await FleetLoad.open(options, { workers: 1, cores: pinning.load }, async (fleet) => {
        const { messageBytes } = settings;
        const fill = (perChannel: number, hasIds = false) =>
          fleet.fill({ channels: range, perChannel, messageBytes, hasIds });
        const perChannel = (after: number, before: number) => (after - before) / channels;

        // The first calls create what exists only once.
        await fill(1);
        const empty = await emptied(redis);
        await fill(1, true);
        const withIds = await settled(redis);
        const emptyAgain = await emptied(redis);
        await fill(1);
        const one = await settled(redis);
        let further = {};
        if (channels <= MAX_FILLED_CHANNELS) {
          await fill(FEW - 1);
          const few = await settled(redis);
          await fill(MANY - FEW);
          const many = await settled(redis);
          further = {
            fewBytes: perChannel(few, emptyAgain),
            messageBytes: perChannel(many, few) / (MANY - FEW),
          };
        }
        const unwatched = await settled(redis);
        await fleet.watchShared(range);
        const watched = await settled(redis);
        await fill(1);
        const received = await untilReceived(fleet, channels);
        measurement = {
          metrics: {
            oneBytes: perChannel(one, emptyAgain),
            ...further,
            // With few channels, the difference is lost in the noise.
            ...(channels < MIN_FOR_IDS ? {} : { idBytes: perChannel(withIds - empty, one - emptyAgain) }),
            watchBytes: perChannel(watched, unwatched),
          },
          integrity: {
            expected: channels,
            received,
            missing: channels - received,
            repeated: 0,
            gaps: 0,
            brokenStreams: 0,
            failedPublishes: 0,
          },
          notes: [],
        };
      });
      if (measurement === undefined) throw new Error('unreachable: measured or failed');
      return measurement;
    },
  );
}

async function emptied(redis: RedisServer): Promise<number> {
  await redis.call('FLUSHDB');
  return settled(redis);
}

/** Waits until the memory is stable: a growing table of keys has two copies for a while. */
async function settled(redis: RedisServer): Promise<number> {
  let last = 0;
  for (let waitedMs = 0; waitedMs < MAX_QUIET_MS; waitedMs += QUIET_MS) {
    await sleep(QUIET_MS);
    const bytes = await redis.info('memory', 'used_memory');
    if (Math.abs(bytes - last) < bytes / 10_000) return bytes;
    last = bytes;
  }
  return last;
}

async function untilReceived(fleet: FleetLoad, count: number): Promise<number> {
  let { received } = await fleet.snapshot();
  for (let waitedMs = 0; received < count && waitedMs < MAX_QUIET_MS; waitedMs += QUIET_MS) {
    await sleep(QUIET_MS);
    ({ received } = await fleet.snapshot());
  }
  return received;
}
