/**
 * A real Prometheus with a copy of the repository's configuration and rules. Rules are written in minutes; the copy
 * divides all durations by 60, so that a test need not wait, and changes nothing else.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requestJson } from '../http/http.ts';
import { freePort } from '../ports.ts';
import { ROOT } from '../repository.ts';
import { waitFor, within } from '../wait.ts';

export const CONFIG_FOLDER = join(ROOT, 'config');
export const RULE_FILES = ['recording.rules.yml', 'alerts.rules.yml'] as const;

const START_TIMEOUT_MS = 30_000;
const INTERVAL = '500ms';
const MAX_OUTPUT_CHARS = 20_000;
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

export interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: 'pending' | 'firing';
}

interface ApiAnswer<T> {
  readonly status: 'success' | 'error';
  readonly data: T;
  readonly error?: string;
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** `[5m]` becomes `[5000ms]`, `for: 30s` becomes `for: 500ms`. */
export function hasten(rules: string): string {
  const ms = (count: string, unit: string): string =>
    `${Math.round((Number(count) * (SECONDS[unit] as number) * 1000) / 60)}ms`;
  return rules
    .replace(/\[(\d+)([smh])\]/g, (_, count: string, unit: string) => `[${ms(count, unit)}]`)
    .replace(
      /^(\s+for: )(\d+)([smh])$/gm,
      (_, key: string, count: string, unit: string) => key + ms(count, unit),
    );
}

export class PrometheusServer {
  readonly #folder = mkdtempSync(join(tmpdir(), 'message-push-prometheus-'));
  readonly #port: number;
  #child: ChildProcess | undefined;
  #output = '';

  private constructor(port: number) {
    this.#port = port;
  }

  /** Starts it to scrape `targets`, each `host:port`. */
  static async start(targets: readonly string[]): Promise<PrometheusServer> {
    const server = new PrometheusServer(await freePort());
    server.#writeConfig(targets);
    await server.#run(targets.length);
    return server;
  }

  #writeConfig(targets: readonly string[]): void {
    const rulesFolder = join(this.#folder, 'prometheus');
    cpSync(join(CONFIG_FOLDER, 'prometheus'), rulesFolder, { recursive: true });
    for (const file of RULE_FILES) {
      const path = join(rulesFolder, file);
      writeFileSync(path, hasten(readFileSync(path, 'utf8')));
    }
    const config = readFileSync(join(CONFIG_FOLDER, 'prometheus.yml'), 'utf8').replace(
      /^( {2}(?:scrape_interval|scrape_timeout|evaluation_interval): ).*$/gm,
      `$1${INTERVAL}`,
    );
    writeFileSync(join(this.#folder, 'prometheus.yml'), config);
    writeFileSync(join(rulesFolder, 'targets/service.yml'), JSON.stringify([{ targets }]));
  }

  async #run(targetCount: number): Promise<void> {
    const child = spawn(
      'prometheus',
      [
        `--config.file=${join(this.#folder, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(this.#folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${this.#port}`,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#output = (this.#output + text).slice(-MAX_OUTPUT_CHARS);
    });
    running.add(child);
    child.once('exit', () => running.delete(child));
    this.#child = child;
    await waitFor(
      'a first scrape of every target',
      async () => {
        if (child.exitCode !== null) throw new Error(`Prometheus ended: ${this.#output}`);
        return (await this.#isListening()) && (await this.query('up == 1')).length === targetCount;
      },
      { timeoutMs: START_TIMEOUT_MS, pollMs: 100, describe: () => this.#output },
    );
  }

  async #isListening(): Promise<boolean> {
    try {
      await this.query('vector(1)');
      return true;
    } catch {
      // Refused, or 503 while it starts: the caller asks again until the time is up.
      return false;
    }
  }

  query(expression: string): Promise<readonly Series[]> {
    return this.#ask<{ result: readonly Series[] }>(
      `query?query=${encodeURIComponent(expression)}`,
      expression,
    ).then(({ result }) => result);
  }

  async alerts(): Promise<readonly Alert[]> {
    return (await this.#ask<{ alerts: readonly Alert[] }>('alerts', 'alerts')).alerts;
  }

  /** Names of the firing alerts, sorted, each once. */
  async firing(): Promise<string[]> {
    const firing = (await this.alerts()).filter(({ state }) => state === 'firing');
    return [...new Set(firing.map(({ labels }) => labels['alertname'] ?? ''))].sort();
  }

  /** Waits until the alert fires and resolves with it. */
  fires(name: string, timeoutMs = 40_000): Promise<Alert> {
    let last: readonly Alert[] = [];
    return waitFor(
      `the alert ${name}`,
      async () => {
        last = await this.alerts();
        return last.find(({ labels, state }) => labels['alertname'] === name && state === 'firing');
      },
      {
        timeoutMs,
        pollMs: 200,
        describe: () =>
          `alerts: ${last.map((a) => `${a.labels['alertname']} ${a.state}`).join(', ') || 'none'}`,
      },
    );
  }

  async #ask<T>(path: string, what: string): Promise<T> {
    const { json } = await requestJson<ApiAnswer<T>>(`http://127.0.0.1:${this.#port}/api/v1/${path}`);
    if (json.status !== 'success') throw new Error(`${what}: ${json.error}`);
    return json.data;
  }

  async dispose(): Promise<void> {
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await within('the end of Prometheus', 10_000, once(child, 'exit'));
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
