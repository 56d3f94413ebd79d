// The output of scripts/status.sh: queries the service and its metrics, examines the machine and the end of the log
// (standard input), and suggests what to do next. Exits with 0 while the service serves, 1 when it runs but does not
// serve, 3 when it is not running.
import { existsSync, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';

const string = { type: 'string', default: '' };
const { values } = parseArgs({
  options: {
    environment: string,
    runner: string,
    pids: string,
    url: string,
    problem: string,
    holder: string,
    show: string,
    format: string,
    language: string,
  },
});
const args = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]));
const ANSWER_TIMEOUT_MS = 5000;
const LOW_DISK_BYTES = 1024 ** 3;
const LARGE_LOG_BYTES = 512 * 1024 ** 2;
const LOG_FILE = 'logs/message-push-service.log';
/** Descriptors that a process needs in addition to its streams. */
const SPARE_FILES = 200;

const say = (english, chinese) => (args.language === 'zh' ? chinese : english);
const settings = Object.fromEntries(
  (process.env.SETTINGS ?? '').split('\n').flatMap((line) => {
    const match = /^([A-Z_]+)=(.*?) *# [a-z]+$/.exec(line);
    return match === null ? [] : [[match[1], match[2]]];
  }),
);
const pids = args.pids.split(/\s+/).filter((pid) => pid !== '');

function get(url) {
  return new Promise((resolve) => {
    const client = url.startsWith('https:') ? https : http;
    const options = { rejectUnauthorized: false, signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) };
    const request = client.get(url, options, (response) => {
      text(response).then(resolve, () => resolve(undefined));
    });
    request.on('error', () => resolve(undefined));
  });
}

function parsed(json) {
  try {
    return JSON.parse(json);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Counts the streams of all processes; the instances of a PM2 cluster have consecutive metrics ports. */
async function countStreams() {
  if (settings.ENABLE_METRICS !== 'true') return undefined;
  const instances = args.runner === 'pm2' ? pids.length : 1;
  const host = settings.METRICS_HOST === '0.0.0.0' ? '127.0.0.1' : settings.METRICS_HOST;
  const texts = await Promise.all(
    Array.from({ length: instances }, (_, i) =>
      get(`http://${host}:${Number(settings.METRICS_PORT) + i}/sse/metrics`),
    ),
  );
  if (texts.includes(undefined)) return undefined;
  const counts = [...texts.join('\n').matchAll(/^message_push_connections(?:\{[^}]*\})? ([0-9.e+]+)$/gm)];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

function processFacts(pid) {
  const folder = `/proc/${pid}`;
  if (!existsSync(`${folder}/status`)) return { pid: Number(pid) };
  const [, kb = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`${folder}/status`, 'utf8')) ?? [];
  const limits = readFileSync(`${folder}/limits`, 'utf8');
  const [, limit] = /^Max open files\s+(\d+|unlimited)/m.exec(limits) ?? [];
  return {
    pid: Number(pid),
    memory_bytes: Number(kb) * 1024,
    open_files: readdirSync(`${folder}/fd`).length,
    open_files_limit: limit === 'unlimited' ? null : Number(limit),
  };
}

function diskFacts(path) {
  if (path === undefined || !existsSync(path)) return undefined;
  const { bavail, bsize } = statfsSync(path);
  const files = readdirSync(path).map((file) => statSync(join(path, file), { throwIfNoEntry: false }));
  const used = files.reduce((sum, stat) => sum + (stat?.isFile() ? stat.size : 0), 0);
  return { path, used_bytes: used, free_bytes: bavail * bsize };
}

const log = (await text(process.stdin)).split('\n');
const errors = log
  .map(parsed)
  .filter((line) => line?.level === 'ERROR' || line?.level === 'CRITICAL')
  .slice(-5)
  .map(({ timestamp, level, message }) => ({ timestamp, level, message }));

const isRunning = args.runner !== 'none';
const health = isRunning ? parsed((await get(`${args.url}/sse/health`)) ?? '') : undefined;
const engine = health?.message_queue;
const isRedis = (engine?.type ?? settings.MESSAGE_QUEUE_TYPE) === 'redis';
const processes = pids.map(processFacts);
const report = {
  environment: args.environment,
  status: health?.status ?? (isRunning ? 'no answer' : 'not running'),
  runner: isRunning ? args.runner : null,
  version: health?.version ?? null,
  url: args.url,
  processes,
  streams: health && {
    open: (await countStreams()) ?? health.connection_manager.active_connections,
    limit:
      Number(settings.MAX_CONNECTIONS) *
      Math.max(1, Number(settings.WORKER_THREADS), args.runner === 'pm2' ? pids.length : 1),
    state: health.connection_manager.status,
  },
  engine: engine ?? null,
  redis: isRedis
    ? { mode: settings.REDIS_MODE, address: redisAddress(), status: engine?.status ?? 'unknown' }
    : null,
  disk: [isRedis ? undefined : diskFacts(settings.DATA_DIR), diskFacts('logs')].filter(
    (d) => d !== undefined,
  ),
  recent_errors: errors,
  next_steps: [],
};
report.next_steps = nextSteps();

function redisAddress() {
  if (args.runner === 'docker') return 'redis:6379';
  if (settings.REDIS_NODES) return settings.REDIS_NODES;
  return settings.REDIS_URL || `${settings.REDIS_HOST}:${settings.REDIS_PORT}/${settings.REDIS_DB}`;
}

function nextSteps() {
  const steps = [];
  const step = (isNeeded, english, chinese) => {
    if (isNeeded) steps.push(say(english, chinese));
  };
  const { streams, disk } = report;
  step(args.problem !== '', `Correct the configuration:\n${args.problem}`, `请修正配置：\n${args.problem}`);
  step(
    args.holder !== '',
    `Port ${settings.SERVICE_PORT} is taken by ${args.holder}: stop it, or set SERVICE_PORT.`,
    `端口 ${settings.SERVICE_PORT} 已被占用：${args.holder}。请停止该进程，或修改 SERVICE_PORT。`,
  );
  step(!isRunning, 'Start it: scripts/start.sh --pm2', '启动服务：scripts/start.sh --pm2');
  step(
    isRunning && health === undefined,
    'It runs but does not respond: check scripts/status.sh --logs, then scripts/stop.sh --force and start it again.',
    '进程在运行但无响应：先查看 scripts/status.sh --logs，再用 scripts/stop.sh --force 停止，然后重新启动。',
  );
  step(engine?.reason, `The engine reports: ${engine?.reason}`, `引擎报告：${engine?.reason}`);
  step(
    isRedis && engine?.status !== undefined && engine.status !== 'healthy',
    `Check Redis (${report.redis?.address}): redis-cli ping, REDIS_HOST, REDIS_PASSWORD.`,
    `请检查 Redis（${report.redis?.address}）：redis-cli ping、REDIS_HOST、REDIS_PASSWORD。`,
  );
  step(
    engine?.store_set_aside,
    `A store that could not be read was set aside: ${engine?.store_set_aside}. See docs/guides/operations.md.`,
    `存储文件无法读取，已隔离（改名保留）：${engine?.store_set_aside}。参见 docs/guides/operations.zh.md。`,
  );
  step(
    streams && streams.open >= streams.limit * 0.9,
    `${streams?.open} of ${streams?.limit} streams: raise MAX_CONNECTIONS.`,
    `连接数 ${streams?.open}/${streams?.limit}：请调大 MAX_CONNECTIONS。`,
  );
  const needed = Number(settings.MAX_CONNECTIONS) + SPARE_FILES;
  const tight = processes.find(({ open_files_limit: limit }) => limit && limit < needed);
  step(
    tight,
    `The limit is ${tight?.open_files_limit} open files, but MAX_CONNECTIONS needs ${needed}: set ulimit -n 65536 or LimitNOFILE.`,
    `打开文件数上限为 ${tight?.open_files_limit}，而 MAX_CONNECTIONS 需要 ${needed}：请设置 ulimit -n 65536 或 LimitNOFILE。`,
  );
  const full = disk.find((d) => d.free_bytes < LOW_DISK_BYTES);
  step(
    full,
    `Little free space at ${full?.path}: ${size(full?.free_bytes)}.`,
    `${full?.path} 磁盘空间不足，剩余 ${size(full?.free_bytes)}。`,
  );
  step(
    (statSync(LOG_FILE, { throwIfNoEntry: false })?.size ?? 0) > LARGE_LOG_BYTES,
    `${LOG_FILE} is not rotated: install deploy/logrotate/message-push-service.`,
    `${LOG_FILE} 未轮转：请安装 deploy/logrotate/message-push-service。`,
  );
  step(
    args.environment === 'production' && settings.ALLOW_ANONYMOUS === 'true',
    'Anybody may publish (ALLOW_ANONYMOUS=true): set ENABLE_API_KEY_AUTH=true and API_KEY.',
    '任何人均可发布（ALLOW_ANONYMOUS=true）：请设置 ENABLE_API_KEY_AUTH=true 与 API_KEY。',
  );
  step(
    settings.ALLOWED_ORIGINS === 'https://yourdomain.com',
    'ALLOWED_ORIGINS is still the example value: set the origins of your pages.',
    'ALLOWED_ORIGINS 仍为示例值：请填写实际的页面来源。',
  );
  return steps;
}

function size(bytes = 0) {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${(bytes / 1024 ** power).toFixed(power > 1 ? 1 : 0)} ${units[power]}`;
}

function healthLine() {
  const words = {
    healthy: '健康',
    degraded: '降级',
    unhealthy: '不健康',
    'no answer': '无响应',
    'not running': '未运行',
  };
  const reason = engine?.reason ? ` (${engine.reason})` : '';
  return `${say(report.status, words[report.status])}${reason}`;
}

function lines() {
  const row = (english, chinese, value) => `${say(english.padEnd(9), chinese)}  ${value}`;
  const { streams, redis } = report;
  const rows = [row('Service', '服务', `${healthLine()}  ${args.url}  ${args.environment}`)];
  for (const p of processes) {
    const facts = `pid ${p.pid}  ${size(p.memory_bytes)}  ${say('open files', '打开文件')} ${p.open_files}/${p.open_files_limit ?? '∞'}`;
    rows.push(row('Process', '进程', `${args.runner}  ${facts}`));
  }
  if (streams) rows.push(row('Streams', '连接', `${streams.open}/${streams.limit}  ${streams.state}`));
  if (engine) {
    const { type, status, history_messages: messages, nodes } = engine;
    const history = messages === undefined ? '' : `  ${messages} ${say('messages kept', '条历史消息')}`;
    rows.push(row('Engine', '引擎', `${type}  ${status}  ${say('nodes', '节点')} ${nodes}${history}`));
  }
  if (redis) rows.push(row('Redis', 'Redis', `${redis.mode}  ${redis.address}  ${redis.status}`));
  for (const d of report.disk)
    rows.push(
      row('Disk', '磁盘', `${d.path}  ${size(d.used_bytes)}${say(', free', '，可用')} ${size(d.free_bytes)}`),
    );
  for (const e of errors) rows.push(row('Error', '错误', `${e.timestamp}  ${e.message}`));
  for (const s of report.next_steps) rows.push(row('Next', '建议', s));
  return rows.join('\n');
}

if (args.format === 'json') {
  const { status, engine: queue } = report;
  const shown = args.show === 'health' ? { status, reason: queue?.reason ?? null } : report;
  console.log(JSON.stringify(shown, undefined, 2));
} else console.log(args.show === 'health' ? healthLine() : lines());
process.exitCode = !isRunning ? 3 : health === undefined || health.status === 'unhealthy' ? 1 : 0;
