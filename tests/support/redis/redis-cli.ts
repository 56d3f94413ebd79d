/** One run of `redis-cli`, bounded in time. What the server answers with an error rejects. */
import { spawn } from 'node:child_process';

/** The server refused, or nobody answered. */
class RedisCliError extends Error {}

export interface RedisCliOptions {
  /** A command that runs it, as in `ip netns exec NAME`. */
  readonly launcher?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Commands, one a line, that it reads from its standard input. */
  readonly input?: string;
  readonly timeoutMs?: number;
}

/** Resolves with what it prints, without the last line feed. */
export function redisCli(args: readonly string[], options: RedisCliOptions = {}): Promise<string> {
  const { launcher = [], env = {}, input = '', timeoutMs = 5000 } = options;
  const [command = '', ...rest] = [...launcher, 'redis-cli', ...args];
  return new Promise((resolve, reject) => {
    const child = spawn(command, rest, { env: { PATH: process.env['PATH'], ...env } });
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    let complaint = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint += text;
    });
    // It may end before it has read anything.
    child.stdin.on('error', (error) => {
      complaint += error.message;
    });
    child.stdin.end(input);
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      if (code === 0) resolve(output.replace(/\n$/, ''));
      else {
        const why = code === null ? `no answer in ${timeoutMs} ms` : `${output}${complaint}`.trim();
        reject(new RedisCliError(`redis-cli ${args.join(' ').slice(0, 200)}: ${why}`));
      }
    });
  });
}

/** What `probe` finds; false while a server does not answer, as one that loads its data or is just given another part. */
export async function whenAnswered<T>(probe: () => Promise<T>): Promise<T | false> {
  try {
    return await probe();
  } catch (error) {
    if (error instanceof RedisCliError) return false;
    throw error;
  }
}
