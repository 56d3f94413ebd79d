/**
 * Draws a result as an SVG of horizontal bars, one panel per charted metric, readable on light and dark pages.
 * Also a program: `node bench/dist/chart.js [--out DIRECTORY] RESULT.json…`.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatNumber, labelOf, measuredPeers } from './report.ts';
import { medianOf, type Result } from './results.ts';
import type { Metric } from './scenarios/scenario.ts';

const WIDTH = 720;
const LABEL_WIDTH = 130;
const VALUE_WIDTH = 110;
const BAR_HEIGHT = 22;
const BAR_GAP = 8;
const TITLE_HEIGHT = 38;
const LINE_HEIGHT = 15;
const LINE_CHARS = 112;
const PANEL_HEAD = 34;
const FOOT_HEIGHT = 42;

export const IMAGES = fileURLToPath(new URL('../../docs/images/', import.meta.url));

const STYLE = `
  text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328; }
  .title { font-size: 17px; font-weight: 600; }
  .panel { font-weight: 600; }
  .quiet { font-size: 11.5px; fill: #59636e; }
  .bar { fill: #9aa4af; }
  .ours { fill: #0969da; }
  .axis { stroke: #d1d9e0; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .quiet { fill: #9198a1; }
    .bar { fill: #656c76; }
    .ours { fill: #4493f8; }
    .axis { stroke: #3d444d; }
  }`;

export function drawChart(result: Result): string {
  const metrics = result.metrics.filter((metric) => metric.isCharted);
  const description = wrap(result.description, LINE_CHARS);
  let y = TITLE_HEIGHT + description.length * LINE_HEIGHT;
  const panels = metrics.map((metric) => {
    const panel = drawPanel(result, metric, y);
    y += panel.height;
    return panel.svg;
  });
  const height = y + FOOT_HEIGHT;
  const { machine } = result;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeXml(`${result.title}: ${summary(result, metrics)}`)}">
<style>${STYLE}
</style>
<text class="title" x="0" y="20">${escapeXml(result.title)}</text>
${description
  .map(
    (line, i) => `<text class="quiet" x="0" y="${TITLE_HEIGHT + i * LINE_HEIGHT}">${escapeXml(line)}</text>`,
  )
  .join('\n')}
${panels.join('\n')}
<text class="quiet" x="0" y="${height - 20}">${escapeXml(`Medians of ${countRounds(result)} rounds taken in turn, ${result.date.slice(0, 10)}; server on one core of ${machine.cores}: ${machine.cpu}, Linux ${machine.kernel}.`)}</text>
<text class="quiet" x="0" y="${height - 4}">${escapeXml(describeVersions(result))}</text>
</svg>
`;
}

function drawPanel(result: Result, metric: Metric, top: number): { svg: string; height: number } {
  const bars = measuredPeers(result).flatMap((peer) => {
    const value = medianOf(result, peer, metric.key);
    return value === undefined ? [] : [{ peer, value }];
  });
  const highest = Math.max(...bars.map((bar) => bar.value), Number.MIN_VALUE);
  const room = WIDTH - LABEL_WIDTH - VALUE_WIDTH;
  const lines = bars.map(({ peer, value }, i) => {
    const y = top + PANEL_HEAD + i * (BAR_HEIGHT + BAR_GAP);
    const width = Math.max(1, (value / highest) * room);
    const baseline = y + BAR_HEIGHT / 2 + 5;
    return [
      `<text x="${LABEL_WIDTH - 10}" y="${baseline}" text-anchor="end">${escapeXml(labelOf(result, peer))}</text>`,
      `<rect class="${peer === 'ours' ? 'ours' : 'bar'}" x="${LABEL_WIDTH}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" rx="2"/>`,
      `<text x="${(LABEL_WIDTH + width + 8).toFixed(1)}" y="${baseline}">${formatNumber(value, metric.digits)}</text>`,
    ].join('\n');
  });
  const height = PANEL_HEAD + bars.length * (BAR_HEIGHT + BAR_GAP) + 10;
  const unit = metric.unit === '' ? '' : `${metric.unit}, `;
  const svg = [
    `<text x="0" y="${top + 20}"><tspan class="panel">${escapeXml(metric.label)}</tspan><tspan class="quiet"> (${escapeXml(unit)}${metric.better} is better)</tspan></text>`,
    `<line class="axis" x1="${LABEL_WIDTH}" x2="${LABEL_WIDTH}" y1="${top + PANEL_HEAD - 4}" y2="${top + height - 12}"/>`,
    ...lines,
  ].join('\n');
  return { svg, height };
}

/** Describes the figures in words, for screen readers. */
function summary(result: Result, metrics: readonly Metric[]): string {
  return metrics
    .map((metric) => {
      const values = measuredPeers(result).flatMap((peer) => {
        const value = medianOf(result, peer, metric.key);
        return value === undefined ? [] : [`${labelOf(result, peer)} ${formatNumber(value, metric.digits)}`];
      });
      return `${metric.label} in ${metric.unit}: ${values.join(', ')}`;
    })
    .join('; ');
}

function countRounds(result: Result): number {
  return Math.max(0, ...result.rounds.map((round) => round.round));
}

function describeVersions(result: Result): string {
  const peers = measuredPeers(result);
  const versions = new Set(peers.map((peer) => result.peers[peer]?.version));
  const named =
    versions.size === 1
      ? [...versions]
      : peers.map((peer) => `${labelOf(result, peer)}: ${result.peers[peer]?.version}`);
  return `${named.join('; ')}. Load and servers on Node ${result.machine.node}.`;
}

function wrap(text: string, length: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? '';
    if (last.length + word.length + 1 > length) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

export function writeChart(directory: string, result: Result): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `bench-${result.scenario}.svg`);
  writeFileSync(path, drawChart(result));
  return path;
}

function main(): void {
  const { values, positionals } = parseArgs({
    options: { out: { type: 'string', default: IMAGES } },
    allowPositionals: true,
  });
  for (const path of positionals) {
    const result = JSON.parse(readFileSync(path, 'utf8')) as Result;
    process.stdout.write(`${writeChart(values.out, result)}\n`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
