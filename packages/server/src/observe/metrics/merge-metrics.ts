/** Merges the metrics of several processes into one scrape: each family once, with a label for the process. */

export interface MetricsPart {
  /** Prometheus' text format as prom-client writes it: the comments of a family, then its samples. */
  readonly text: string;
  /** Value of the label `worker` for all samples; `undefined` when they get no label. */
  readonly worker?: number;
}

interface Family {
  /** The `HELP` and `TYPE` lines, from the first part that has the family. [spec] Each may appear only once. */
  readonly comments: Map<string, string>;
  readonly samples: string[];
}

export function mergeMetrics(parts: readonly MetricsPart[]): string {
  const families = new Map<string, Family>();
  const familyOf = (name: string): Family => {
    let family = families.get(name);
    if (family === undefined) {
      family = { comments: new Map(), samples: [] };
      families.set(name, family);
    }
    return family;
  };
  for (const { text, worker } of parts) {
    let family: Family | undefined;
    for (const line of text.split('\n')) {
      if (line === '') continue;
      if (line.startsWith('#')) {
        const [, keyword = '', name = ''] = line.split(' ', 3);
        family = familyOf(name);
        if (!family.comments.has(keyword)) family.comments.set(keyword, line);
      } else {
        family ??= familyOf(line.slice(0, line.search(/[{ ]/)));
        family.samples.push(worker === undefined ? line : labelled(line, worker));
      }
    }
  }
  // [spec] All lines of a family must be adjacent.
  return [...families.values()]
    .flatMap(({ comments, samples }) => [...comments.values(), ...samples])
    .map((line) => `${line}\n`)
    .join('');
}

function labelled(sample: string, worker: number): string {
  // The name of a metric contains neither character; the value of a label may contain both.
  const nameEnd = sample.search(/[{ ]/);
  const name = sample.slice(0, nameEnd);
  const label = `worker="${worker}"`;
  return sample[nameEnd] === '{'
    ? `${name}{${label},${sample.slice(nameEnd + 1)}`
    : `${name}{${label}}${sample.slice(nameEnd)}`;
}
