/** The metrics of a service as a scrape finds them. */
import { execFileSync } from 'node:child_process';
import { request } from '../http/http.ts';

export class Scrape {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  static async of(metricsPort: number): Promise<Scrape> {
    const { status, text } = await request(`http://127.0.0.1:${metricsPort}/sse/metrics`);
    if (status !== 200) throw new Error(`the metrics were answered with ${status}: ${text}`);
    return new Scrape(text);
  }

  /** The sum of all samples of a name that have these labels; undefined when there is none. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
    const values = this.text
      .split('\n')
      .filter((line) => /^[^{ ]*/.exec(line)?.[0] === name && wanted.every((label) => line.includes(label)))
      .map((line) => Number(line.slice(line.lastIndexOf(' ') + 1)));
    return values.length === 0 ? undefined : values.reduce((total, value) => total + value, 0);
  }

  /** What promtool has to say about the text. */
  complaints(): string {
    return execFileSync('promtool', ['check', 'metrics'], { input: this.text, encoding: 'utf8' });
  }
}
