/** The output of `--check-config`: the effective configuration, or everything that is wrong with it. */
import { ConfigError } from './config-error.ts';
import { type ConfigInput, type EffectiveSetting, loadConfig } from './load-config.ts';
import { GROUPS, type Variable } from './settings/schema.ts';

export interface ConfigReport {
  readonly isValid: boolean;
  /** Lines to print, without secrets. */
  readonly text: string;
}

export function checkConfig(input: ConfigInput): ConfigReport {
  try {
    const { settings, warnings, file } = loadConfig(input);
    const byName = new Map<Variable, EffectiveSetting>(settings.map((s) => [s.variable, s]));
    const lines = [`# env file: ${file ?? 'none'}`];
    for (const group of GROUPS) {
      lines.push('', `# ${group.title}`);
      for (const variable of Object.keys(group.settings) as Variable[]) {
        const setting = byName.get(variable);
        if (setting !== undefined)
          lines.push(`${`${variable}=${setting.shown}`.padEnd(48)} # ${setting.source}`);
      }
    }
    lines.push('', ...warnings.map((warning) => `# warning: ${warning}`), 'The configuration is valid.');
    return { isValid: true, text: `${lines.join('\n')}\n` };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { isValid: false, text: `${error.message}\n` };
  }
}
