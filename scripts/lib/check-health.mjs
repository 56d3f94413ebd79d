// Checks whether the service is ready, once or until it is. Exits with 0 when it is ready, otherwise with 1 and the
// reason on standard error. Also the health check of the container, which contains no other client than Node.js.
//
//   check-health.mjs [--url URL] [--path /sse/health/ready] [--wait SECONDS]
import http from 'node:http';
import https from 'node:https';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    url: { type: 'string' },
    path: { type: 'string', default: '/sse/health/ready' },
    wait: { type: 'string', default: '0' },
  },
});
const port = process.env.SERVICE_PORT || '8089';
const urls =
  values.url === undefined ? [`http://127.0.0.1:${port}`, `https://127.0.0.1:${port}`] : [values.url];
const ANSWER_TIMEOUT_MS = 5000;
const PAUSE_MS = 200;

/** Resolves with the reason why the service is not ready; with `undefined` when it is. */
function problemAt(url) {
  return new Promise((resolve) => {
    const client = url.startsWith('https:') ? https : http;
    // The check is about health, not identity: the certificate need not name this address.
    const options = { rejectUnauthorized: false, signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) };
    const request = client.get(url + values.path, options, (response) => {
      response.resume();
      const { statusCode } = response;
      resolve(statusCode === 200 ? undefined : `${url}${values.path} answered ${statusCode}`);
    });
    request.on('error', (error) => resolve(`${url} does not answer: ${error.code ?? error.message}`));
  });
}

const deadlineMs = Date.now() + Number(values.wait) * 1000;
for (;;) {
  let problem;
  for (const url of urls) {
    problem = await problemAt(url);
    if (problem === undefined) process.exit(0);
  }
  if (Date.now() >= deadlineMs) {
    process.stderr.write(`${problem}\n`);
    process.exit(1);
  }
  await delay(PAUSE_MS);
}
