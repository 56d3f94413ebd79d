/**
 * Loads the configuration from the process environment and an env file. The process environment wins. An empty value
 * counts as unset, so that a supervisor can pass a variable through. All problems are reported at once.
 */

import { crossProblems, crossWarnings } from './checks/cross-checks.ts';
import { pathProblems } from './checks/path-checks.ts';
import { tlsProblems, tlsWarnings } from './checks/tls-checks.ts';
import { type Config, toConfig } from './config.ts';
import { ConfigError, type ConfigProblem, type Source } from './config-error.ts';
import { readEnvFile } from './env-file.ts';
import { type Environment, InvalidValue, type Setting } from './settings/kinds/setting.ts';
import { SETTINGS, VARIABLES, type Values, type Variable } from './settings/schema.ts';

export interface ConfigInput {
  /** The process environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The folder of the installation. Env files and relative paths are looked up from here. */
  readonly rootDir: string;
  /** The default of SERVICE_VERSION. */
  readonly packageVersion: string;
}

/** The value of a variable that is in effect. Secrets are masked in `shown`. */
export interface EffectiveSetting {
  readonly variable: Variable;
  readonly shown: string;
  readonly source: Source;
}

export interface LoadedConfig {
  readonly config: Config;
  /** Sentences for the log about variables that are set and have no effect. */
  readonly warnings: readonly string[];
  readonly settings: readonly EffectiveSetting[];
  /** The env file that was read; `undefined` when there is none. */
  readonly file: string | undefined;
}

interface Raw {
  readonly text: string | undefined;
  readonly source: Source;
}

/** The variables before they are parsed. */
interface Sources {
  readonly environment: Environment;
  readonly file: ReturnType<typeof readEnvFile>;
  readonly raws: Readonly<Record<Variable, Raw>>;
}

interface Parsed {
  /** The default stands in for a value that was refused. */
  readonly values: Values;
  readonly refused: ReadonlySet<Variable>;
  readonly problems: readonly ConfigProblem[];
}

/** Throws `ConfigError` with everything that is wrong. */
export function loadConfig(input: ConfigInput): LoadedConfig {
  const { rootDir, packageVersion } = input;
  const sources = readSources(input);
  const { file, raws } = sources;
  const parsed = parseValues(sources, packageVersion);
  const { values } = parsed;
  const problems = [
    ...file.problems,
    ...parsed.problems,
    ...environmentProblems(sources, parsed),
    ...ruleProblems(sources, parsed, rootDir),
  ];
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    config: toConfig(values, rootDir),
    warnings: [
      ...crossWarnings({
        values,
        variables: VARIABLES,
        sourceOf: (variable) => raws[variable].source,
        needsOf,
      }),
      ...tlsWarnings(values, rootDir),
    ],
    settings: VARIABLES.map((variable) => {
      const setting: Setting<unknown> = SETTINGS[variable];
      const shown = masked(setting, setting.show(values[variable])) ?? '';
      return { variable, shown, source: raws[variable].source };
    }),
    file: file.exists ? file.path : undefined,
  };
}

function readSources({ env, rootDir }: ConfigInput): Sources {
  const named = rawOf('CONFIG_FILE', env, {}).text;
  const inProcess = environmentOf(rawOf('ENVIRONMENT', env, {}).text);
  const file = readEnvFile(rootDir, inProcess ?? 'development', named);
  // A file that was named may set the environment. One that the environment chose must not set another.
  const inFile =
    named === undefined ? undefined : environmentOf(rawOf('ENVIRONMENT', {}, file.variables).text);
  const raws = Object.fromEntries(VARIABLES.map((v) => [v, rawOf(v, env, file.variables)]));
  return {
    environment: inProcess ?? inFile ?? 'development',
    file,
    raws: raws as Record<Variable, Raw>,
  };
}

/** `undefined` when the text is absent or refused. The latter is reported together with all other variables. */
function environmentOf(text: string | undefined): Environment | undefined {
  const environment = text === undefined ? undefined : SETTINGS.ENVIRONMENT.parse(text.trim());
  return environment instanceof InvalidValue ? undefined : environment;
}

function parseValues({ environment, raws }: Sources, packageVersion: string): Parsed {
  const values: Partial<Record<Variable, unknown>> = {};
  const refused = new Set<Variable>();
  const problems: ConfigProblem[] = [];
  for (const variable of VARIABLES) {
    const setting: Setting<unknown> = SETTINGS[variable];
    const { text, source } = raws[variable];
    const fallback = setting.defaultOf({ environment, packageVersion });
    const value = text === undefined ? fallback : setting.parse(text);
    if (value instanceof InvalidValue) {
      const reason = value.problem === undefined ? '' : `${value.problem}; `;
      const problem = `${reason}must be ${setting.allowed}`;
      problems.push({ variable, value: masked(setting, text), source, problem });
      refused.add(variable);
    }
    values[variable] = value instanceof InvalidValue ? fallback : value;
  }
  return { values: values as Values, refused, problems };
}

function environmentProblems({ environment, raws }: Sources, { values, refused }: Parsed): ConfigProblem[] {
  if (values.ENVIRONMENT === environment || refused.has('ENVIRONMENT')) return [];
  return [
    {
      variable: 'ENVIRONMENT',
      value: raws.ENVIRONMENT.text,
      source: 'file',
      problem: `must be ${environment}, the environment for which this file was read`,
    },
  ];
}

/** Problems with values that are fine by themselves but not together, or not on this machine. */
function ruleProblems({ raws }: Sources, { values, refused }: Parsed, rootDir: string): ConfigProblem[] {
  const isSet = (variable: Variable): boolean => raws[variable].source !== 'default';
  const findings = [
    ...crossProblems(values, isSet, needsOf),
    ...pathProblems(values, rootDir),
    ...tlsProblems(values, rootDir),
  ];
  return findings.flatMap(({ variable, other, problem }) => {
    // The default that stands in for a refused value says nothing about a rule between two variables.
    if (other !== undefined && (refused.has(variable) || refused.has(other))) return [];
    const { text, source } = raws[variable];
    const setting: Setting<unknown> = SETTINGS[variable];
    return [{ variable, value: masked(setting, text ?? setting.show(values[variable])), source, problem }];
  });
}

function needsOf(variable: Variable): string | undefined {
  return SETTINGS[variable].needs;
}

function rawOf(
  variable: Variable,
  env: Readonly<Record<string, string | undefined>>,
  file: Readonly<Record<string, string | undefined>>,
): Raw {
  const fromEnv = env[variable]?.trim();
  if (fromEnv !== undefined && fromEnv !== '') return { text: fromEnv, source: 'environment' };
  const fromFile = file[variable]?.trim();
  if (fromFile !== undefined && fromFile !== '') return { text: fromFile, source: 'file' };
  return { text: undefined, source: 'default' };
}

function masked(setting: Setting<unknown>, text: string | undefined): string | undefined {
  if (text === undefined || text === '') return text;
  if (setting.isSecret) return '***';
  // Greedy up to the last @, because a password may contain one itself.
  return setting.type === 'URL' ? text.replace(/\/\/.*@/, '//***@') : text;
}
