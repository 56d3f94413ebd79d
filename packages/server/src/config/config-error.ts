/** Everything that is wrong with a configuration, in one error, so that an operator can correct it in one go. */

export type Source = 'default' | 'file' | 'environment';

export interface ConfigProblem {
  readonly variable: string;
  /** The configured value, with secrets masked; `undefined` when the variable is not set. */
  readonly value: string | undefined;
  readonly source: Source;
  /** What is wrong and what is allowed, as a sentence without its subject: "must be …". */
  readonly problem: string;
}

const SOURCE_WORDS = {
  default: 'default',
  file: 'env file',
  environment: 'process environment',
} as const satisfies Record<Source, string>;

export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
    super(`The configuration has ${count}:\n${problems.map(problemLine).join('\n')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

function problemLine({ variable, value, source, problem }: ConfigProblem): string {
  const setting = value === undefined ? variable : `${variable}=${value} (${SOURCE_WORDS[source]})`;
  return `  ${setting}: ${problem}`;
}
