/**
 * `npm run keys -- create …` makes an API key. The key is printed once and stored nowhere; the service gets the entry
 * with its hash.
 */
import process from 'node:process';
import { createKeyText, KEYS_USAGE } from './create-key.ts';

const args = process.argv.slice(2);
if (args.includes('--help') || args.includes('-h')) {
  process.stdout.write(KEYS_USAGE);
} else {
  try {
    process.stdout.write(createKeyText(args, Date.now()));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${KEYS_USAGE}`);
    process.exitCode = 2;
  }
}
