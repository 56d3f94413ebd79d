/** The program `npm run doctor`: arguments, output, exit status. */
import { randomBytes } from 'node:crypto';
import { examine } from './examine.ts';
import { languageOf } from './language.ts';
import { type DoctorOptions, parseOptions, USAGE } from './options.ts';
import { hasProblem, reportJson, reportText } from './print-report.ts';

const USAGE_STATUS = 2;

async function run(): Promise<void> {
  const language = languageOf(process.env);
  let options: DoctorOptions | undefined;
  try {
    options = parseOptions(process.argv.slice(2), process.env, () => randomBytes(5).toString('hex'));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE[language]}`);
    process.exitCode = USAGE_STATUS;
    return;
  }
  if (options === undefined) {
    process.stdout.write(USAGE[language]);
    return;
  }
  const report = await examine(options);
  process.stdout.write(
    options.isJson ? reportJson(report, options.language) : reportText(report, options.language),
  );
  process.exitCode = hasProblem(report) ? 1 : 0;
}

await run();
