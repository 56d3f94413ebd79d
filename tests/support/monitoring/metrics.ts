/** The metrics of a service, as scraped. */
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

  /** The sum of all samples of a name with these labels; `undefined` when there are none. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
    const values = this.text
      .split('\n')
      .filter((line) => /^[^{ ]*/.exec(line)?.[0] === name && wanted.every((label) => line.includes(label)))
      .map((line) => Number(line.slice(line.lastIndexOf(' ') + 1)));
    return values.length === 0 ? undefined : values.reduce((total, value) => total + value, 0);
  }

  /** The complaints of promtool about the text. */
  complaints(): string {
    return execFileSync('promtool', ['check', 'metrics'], { input: this.text, encoding: 'utf8' });
  }
}
