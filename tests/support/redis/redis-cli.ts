/** One run of `redis-cli`, bounded in time. It rejects when the server answers with an error. */
import { spawn } from 'node:child_process';

/** The server refused or did not answer. */
class RedisCliError extends Error {}

export interface RedisCliOptions {
  /** A command that runs redis-cli, as in `ip netns exec NAME`. */
  readonly launcher?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Commands for its standard input, one per line. */
  readonly input?: string;
  readonly timeoutMs?: number;
}

/** Resolves with its output, without the last line feed. */
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
    // The process may end before it has read anything.
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

/** The result of `probe`; false while the server does not answer, as when it loads data or changes its role. */
export async function whenAnswered<T>(probe: () => Promise<T>): Promise<T | false> {
  try {
    return await probe();
  } catch (error) {
    if (error instanceof RedisCliError) return false;
    throw error;
  }
}
