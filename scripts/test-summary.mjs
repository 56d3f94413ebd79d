// Prints the ten slowest files of a run and, as the last line, what continuous integration reads: 'N passed, N failed'.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import process from 'node:process';

const SHOWN = 10;
const { testResults, numPassedTests, numFailedTests, numPendingTests } = JSON.parse(
  readFileSync(process.argv[2], 'utf8'),
);

const files = testResults
  .map(({ name, startTime, endTime }) => ({ name, seconds: (endTime - startTime) / 1000 }))
  .sort((a, b) => b.seconds - a.seconds);
console.log(`\nThe slowest of ${files.length} files:`);
for (const { name, seconds } of files.slice(0, SHOWN)) {
  console.log(`${seconds.toFixed(1).padStart(8)} s  ${relative(process.cwd(), name)}`);
}
if (numPendingTests > 0) console.log(`\n${numPendingTests} skipped`);

// A file that fails outside of its tests, by an import or a hook, counts as one that failed.
const broken = testResults.filter(
  ({ status, assertionResults }) =>
    status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
);
for (const { name, message } of broken) console.log(`\n${relative(process.cwd(), name)} failed: ${message}`);
console.log(`\n${numPassedTests} passed, ${numFailedTests + broken.length} failed`);
