/** Runs a script with Debian's own Python, which has httpx and aiohttp. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export const PYTHON = process.env['PYTHON_PATH'] ?? '/usr/bin/python3';
/** Without the environment's proxies, which must not come between a client and the service. */
export const PYTHON_ENV = {
  PATH: process.env['PATH'],
  NO_PROXY: '*',
  PYTHONIOENCODING: 'utf-8',
  PYTHONDONTWRITEBYTECODE: '1',
};

/** Resolves with its output; rejects with its traceback when it fails. */
export async function runPython(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { stdout } = await promisify(execFile)(PYTHON, [...args], {
    env: { ...PYTHON_ENV, ...env },
    timeout: 30_000,
    maxBuffer: 256 * 1024 * 1024,
  });
  return stdout;
}
