/** `npm run restore -- FILE`: puts a backup of the embedded store back while the service is stopped. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ConfigError } from './config/config-error.ts';
import { loadConfig } from './config/load-config.ts';
import { RestoreError, restoreStore } from './engine/embedded/store/restore-store.ts';

const USAGE = `Usage: npm run restore -- FILE

Replaces the store in DATA_DIR by FILE, a backup of the embedded store. Stop the service first. The configuration is
read as the service reads it: set ENVIRONMENT or CONFIG_FILE as for the service.

The existing store is renamed to messages.db.replaced-TIME; nothing is deleted.
`;

function run(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { help: { type: 'boolean', short: 'h' } },
  });
  const [file] = positionals;
  if (values.help || file === undefined || positionals.length > 1) {
    (values.help ? process.stdout : process.stderr).write(USAGE);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const rootDir = fileURLToPath(new URL('../../..', import.meta.url));
  const { version } = JSON.parse(readFileSync(`${rootDir}/package.json`, 'utf8')) as { version: string };
  const { config } = loadConfig({ env: process.env, rootDir, packageVersion: version });
  const { dataDir, redis } = config.engine;
  if (redis !== undefined) {
    throw new RestoreError('MESSAGE_QUEUE_TYPE is redis: the messages are in Redis, not in DATA_DIR');
  }
  // npm runs scripts in the folder of the installation; INIT_CWD is where it was called.
  const copy = path.resolve(process.env['INIT_CWD'] ?? '.', file);
  const { channels, lossyChannels, setAside } = restoreStore(dataDir, copy);
  const lines = [
    `${copy} is now the store in ${dataDir}: ${channels} channels.`,
    `Channels that may lack messages of the previous store: ${lossyChannels}. Their streams get a gap.`,
    ...(setAside === undefined ? [] : [`The previous store is ${setAside}.`]),
    'Start the service.',
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

try {
  run();
} catch (error) {
  const { code, message, stack } = error as NodeJS.ErrnoException;
  const isForOperators =
    error instanceof ConfigError || error instanceof RestoreError || code?.startsWith('E') === true;
  process.stderr.write(`${isForOperators ? message : stack}\n`);
  process.exitCode = 1;
}
