/**
 * From the process environment and an env file to the configuration. The process environment wins; an empty
 * value counts as unset, so that a supervisor can pass a variable through. All problems are reported at once.
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
  /** The folder of the installation: env files and relative paths are found from here. */
  readonly rootDir: string;
  /** The default of SERVICE_VERSION. */
  readonly packageVersion: string;
}

/** One variable as it counts; secrets are masked in `shown`. */
export interface EffectiveSetting {
  readonly variable: Variable;
  readonly shown: string;
  readonly source: Source;
}

export interface LoadedConfig {
  readonly config: Config;
  /** What was set and has no effect, for the log. */
  readonly warnings: readonly string[];
  readonly settings: readonly EffectiveSetting[];
  /** The env file that was read; undefined when there is none. */
  readonly file: string | undefined;
}

/** undefined: not said, or wrongly; the latter is reported with all other variables. */
function environmentOf(text: string | undefined): Environment | undefined {
  const environment = text === undefined ? undefined : SETTINGS.ENVIRONMENT.parse(text.trim());
  return environment instanceof InvalidValue ? undefined : environment;
}

interface Raw {
  readonly text: string | undefined;
  readonly source: Source;
}

/** Throws `ConfigError` with everything that is wrong. */
export function loadConfig(input: ConfigInput): LoadedConfig {
  const { env, rootDir, packageVersion } = input;
  const problems: ConfigProblem[] = [];

  const named = rawOf('CONFIG_FILE', env, {}).text;
  const inProcess = environmentOf(rawOf('ENVIRONMENT', env, {}).text);
  const file = readEnvFile(rootDir, inProcess ?? 'development', named);
  problems.push(...file.problems);
  // A file that was named may say the environment; one that the environment chose must not say another.
  const inFile =
    named === undefined ? undefined : environmentOf(rawOf('ENVIRONMENT', {}, file.variables).text);
  const environment = inProcess ?? inFile ?? 'development';

  const raws = Object.fromEntries(VARIABLES.map((v) => [v, rawOf(v, env, file.variables)])) as Record<
    Variable,
    Raw
  >;
  const parsed: Partial<Record<Variable, unknown>> = {};
  const refused = new Set<Variable>();
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
    parsed[variable] = value instanceof InvalidValue ? fallback : value;
  }
  const values = parsed as Values;
  if (values.ENVIRONMENT !== environment && !refused.has('ENVIRONMENT')) {
    problems.push({
      variable: 'ENVIRONMENT',
      value: raws.ENVIRONMENT.text,
      source: 'file',
      problem: `must be ${environment}, as in the process environment or its default, which chose this file`,
    });
  }
  const isSet = (variable: Variable): boolean => raws[variable].source !== 'default';
  const needsOf = (variable: Variable): string | undefined => SETTINGS[variable].needs;
  const findings = [
    ...crossProblems(values, isSet, needsOf),
    ...pathProblems(values, rootDir),
    ...tlsProblems(values, rootDir),
  ];
  for (const { variable, other, problem } of findings) {
    // A rule between two says nothing while one of them stands at its default for want of a right value.
    if (other !== undefined && (refused.has(variable) || refused.has(other))) continue;
    const { text, source } = raws[variable];
    const setting: Setting<unknown> = SETTINGS[variable];
    problems.push({
      variable,
      value: masked(setting, text ?? setting.show(values[variable])),
      source,
      problem,
    });
  }
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
      return {
        variable,
        shown: masked(setting, setting.show(values[variable])) ?? '',
        source: raws[variable].source,
      };
    }),
    file: file.exists ? file.path : undefined,
  };
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
  // Greedy up to the last @: a password may hold one itself.
  return setting.type === 'URL' ? text.replace(/\/\/.*@/, '//***@') : text;
}
