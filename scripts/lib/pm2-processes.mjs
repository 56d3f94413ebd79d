// Reads `pm2 jlist` and prints `id pid status mode` for every process of one program file. PM2 knows the processes of a
// user by name, and another checkout may use the same name.
import process from 'node:process';
import { text } from 'node:stream/consumers';

const [program] = process.argv.slice(2);
// PM2 may print notes before the JSON.
const json = (await text(process.stdin)).split('\n').findLast((line) => line.startsWith('['));
for (const { pm_id: id, pid, pm2_env: env } of JSON.parse(json ?? '[]')) {
  if (env.pm_exec_path === program) console.log(id, pid, env.status, env.exec_mode.replace('_mode', ''));
}
