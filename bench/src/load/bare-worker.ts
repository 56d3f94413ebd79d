/**
 * The baseline for Redis: a script of `XADD` with trimming and `PUBLISH`, which the client library calls once per
 * message, with many calls in one write. The listener is a connection that subscribes to all channels.
 */
import { connect } from 'node:net';
import { createClient } from '@redis/client';
import { monotonicUs } from './clock.ts';
import { serveCalls } from './rpc.ts';
import { TurnLoop, type TurnPlan } from './turn-loop.ts';

export interface OpenBare {
  readonly port: number;
  readonly channels: number;
  readonly maxMessagesPerChannel: number;
  readonly messageBytes: number;
}

export interface BareSnapshot {
  readonly atUs: number;
  readonly published: number;
  readonly receivedBytes: number;
  readonly cpuUs: number;
}

const SCRIPT = `redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'd', ARGV[2])
return redis.call('PUBLISH', KEYS[2], ARGV[2])`;
const NAMES_AT_ONCE = 500;

const historyKey = (channel: number): string => `bare:h:{user:${channel}}`;
const busName = (channel: number): string => `bare:c:{user:${channel}}`;

let client: ReturnType<typeof createClient>;
let publishOne: () => Promise<unknown>;
let loop: TurnLoop | undefined;
let published = 0;
let receivedBytes = 0;

const handlers = {
  async open({ port, channels, maxMessagesPerChannel, messageBytes }: OpenBare): Promise<void> {
    client = createClient({
      socket: { host: '127.0.0.1', port, reconnectStrategy: false },
      commandOptions: { timeout: 0 },
    });
    await client.connect();
    const sha = (await client.sendCommand(['SCRIPT', 'LOAD', SCRIPT])) as string;
    const max = String(maxMessagesPerChannel);
    const message = Buffer.alloc(messageBytes, 'x');
    let sequence = 0;
    publishOne = () => {
      const channel = (sequence++ * 7919) % channels;
      return client.sendCommand(['EVALSHA', sha, '2', historyKey(channel), busName(channel), max, message]);
    };
  },

  /** Subscribes; called instead of `open`. */
  async listen({ port, channels }: Pick<OpenBare, 'port' | 'channels'>): Promise<void> {
    const socket = connect({ host: '127.0.0.1', port });
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.on('data', (bytes) => {
        receivedBytes += bytes.length;
        resolve();
      });
      for (let from = 0; from < channels; from += NAMES_AT_ONCE) {
        const count = Math.min(NAMES_AT_ONCE, channels - from);
        const words = ['SUBSCRIBE', ...Array.from({ length: count }, (_, i) => busName(from + i))];
        socket.write(`*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`);
      }
    });
  },

  async start(plan: TurnPlan): Promise<void> {
    loop = new TurnLoop((publishes) => Promise.all(Array.from({ length: publishes }, () => publishOne())));
    loop.start(plan);
  },

  async stop(_: undefined): Promise<void> {
    await loop?.stop();
    published += loop?.published ?? 0;
    loop = undefined;
  },

  async snapshot(_: undefined): Promise<BareSnapshot> {
    const { user, system } = process.cpuUsage();
    const running = loop?.published ?? 0;
    return { atUs: monotonicUs(), published: published + running, receivedBytes, cpuUs: user + system };
  },
};

export type BareApi = typeof handlers;

serveCalls(handlers);
