/** The metrics of several processes as one scrape: each family once, each process's samples told apart by a label. */

export interface MetricsPart {
  /** In Prometheus' text format, as prom-client writes it: a family's comments, then its samples. */
  readonly text: string;
  /** The label `worker` of all samples; undefined: they stay as they are. */
  readonly worker?: number;
}

interface Family {
  /** The `HELP` and `TYPE` lines of the first part that has it: [spec] each may come once. */
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
  // [spec] All lines of a family stand together.
  return [...families.values()]
    .flatMap(({ comments, samples }) => [...comments.values(), ...samples])
    .map((line) => `${line}\n`)
    .join('');
}

function labelled(sample: string, worker: number): string {
  // A metric's name holds neither; the value of a label may hold both.
  const nameEnd = sample.search(/[{ ]/);
  const name = sample.slice(0, nameEnd);
  const label = `worker="${worker}"`;
  return sample[nameEnd] === '{'
    ? `${name}{${label},${sample.slice(nameEnd + 1)}`
    : `${name}{${label}}${sample.slice(nameEnd)}`;
}
