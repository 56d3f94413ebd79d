/**
 * Settings and their kinds: how the text of an environment variable becomes a value, and how it is described. The
 * loader, the reference and the error messages all read this data, so that `allowed` is written only once.
 */
/** The values on which defaults may depend. */
export interface DefaultContext {
  readonly environment: Environment;
  /** The version of the package, for SERVICE_VERSION. */
  readonly packageVersion: string;
}

export const ENVIRONMENTS = ['development', 'production'] as const;
export type Environment = (typeof ENVIRONMENTS)[number];

/**
 * The result of parsing a text that is not allowed. `problem` is set when it says more than the setting's `allowed`.
 */
export class InvalidValue {
  readonly problem: string | undefined;
  constructor(problem?: string) {
    this.problem = problem;
  }
}

export interface Setting<T> {
  /** Name of the type in the reference: `integer`, `boolean`, `choice` … */
  readonly type: string;
  readonly unit: string | undefined;
  /** The allowed values, as the end of "must be …". */
  readonly allowed: string;
  /** Description in one to three sentences. */
  readonly about: string;
  readonly isSecret: boolean;
  /** The switch without which the setting has no effect. */
  readonly needs: string | undefined;
  readonly defaultText: string;
  defaultOf(context: DefaultContext): T;
  parse(text: string): T | InvalidValue;
  /** Formats a value for an env file; empty when there is none. Does not mask secrets. */
  show(value: T): string;
}

export type ValueOf<S> = S extends Setting<infer T> ? T : never;

/** The part that differs from setting to setting. */
export interface About<T> {
  readonly about: string;
  readonly default: T | Default<T>;
  readonly isSecret?: boolean;
  readonly needs?: string;
}

/** A default that depends on the context. `text` describes it in the reference. */
export class Default<T> {
  readonly text: string;
  readonly of: (context: DefaultContext) => T;
  constructor(text: string, of: (context: DefaultContext) => T) {
    this.text = text;
    this.of = of;
  }
}

/** The part that all settings of one kind share. */
export interface Kind<T> {
  readonly type: string;
  readonly unit?: string | undefined;
  readonly allowed: string;
  parse(text: string): T | InvalidValue;
  show?(value: T): string;
}

/** Makes a setting of a kind. */
export function setting<T>(kind: Kind<T>, about: About<T>): Setting<T> {
  const fallback = about.default;
  const show = (value: T): string => kind.show?.(value) ?? (value === undefined ? '' : String(value));
  return {
    type: kind.type,
    unit: kind.unit,
    allowed: kind.allowed,
    about: about.about,
    isSecret: about.isSecret ?? false,
    needs: about.needs,
    defaultText: fallback instanceof Default ? fallback.text : show(fallback),
    defaultOf: fallback instanceof Default ? (context) => fallback.of(context) : () => fallback,
    parse: (text) => kind.parse(text),
    show,
  };
}

export interface Range {
  readonly min: number;
  readonly max: number;
  readonly unit?: string;
  /** The meaning of 0, when it is a special value. */
  readonly zero?: string;
}

function integerInRange(text: string, { min, max }: Range): number | InvalidValue {
  if (!/^-?\d{1,16}$/.test(text)) return new InvalidValue();
  const value = Number(text);
  return value >= min && value <= max ? value : new InvalidValue();
}

export function integer(about: About<number> & Range): Setting<number> {
  const zero = about.zero === undefined ? '' : ` (0: ${about.zero})`;
  return setting(
    {
      type: 'integer',
      unit: about.unit,
      allowed: `an integer from ${about.min} to ${about.max}${zero}`,
      parse: (text) => integerInRange(text, about),
    },
    about,
  );
}

const BYTE_UNITS: Readonly<Record<string, number>> = { '': 1, B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 };

/** Formats a number of bytes in the shortest exact form. */
function showBytes(value: number): string {
  for (const unit of ['GB', 'MB', 'KB']) {
    const size = BYTE_UNITS[unit] ?? 1;
    if (value >= size && value % size === 0) return `${value / size}${unit}`;
  }
  return String(value);
}

/** A size in bytes, as a number or with KB, MB or GB (powers of 1024). */
export function bytes(
  about: About<number> & { readonly min: number; readonly max: number },
): Setting<number> {
  return setting(
    {
      type: 'size',
      unit: 'bytes',
      allowed: `a size from ${showBytes(about.min)} to ${showBytes(about.max)}, in bytes or with KB, MB or GB`,
      show: showBytes,
      parse: (text) => {
        const match = /^(\d{1,16})\s*(B|KB|MB|GB|)$/i.exec(text);
        if (match === null) return new InvalidValue();
        const value = Number(match[1]) * (BYTE_UNITS[(match[2] ?? '').toUpperCase()] ?? 1);
        return value >= about.min && value <= about.max ? value : new InvalidValue();
      },
    },
    about,
  );
}

export const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['1', true],
  ['yes', true],
  ['on', true],
  ['false', false],
  ['0', false],
  ['no', false],
  ['off', false],
]);

export function boolean(about: About<boolean>): Setting<boolean> {
  return setting(
    {
      type: 'boolean',
      allowed: 'true or false (also 1/0, yes/no, on/off)',
      parse: (text) => BOOLEANS.get(text.toLowerCase()) ?? new InvalidValue(),
    },
    about,
  );
}

/** One of `choices`, ignoring case. `aliases` are further spellings. */
export function choice<const C extends string>(
  choices: readonly C[],
  about: About<C> & { readonly aliases?: Readonly<Record<string, C>> },
): Setting<C> {
  const aliases = Object.entries(about.aliases ?? {});
  const spellings = new Map<string, C>([
    ...choices.map((c): [string, C] => [c.toLowerCase(), c]),
    ...aliases.map(([alias, c]): [string, C] => [alias.toLowerCase(), c]),
  ]);
  return setting(
    {
      type: 'choice',
      allowed: `one of ${choices.join(', ')}${aliases.map(([a, c]) => ` (${a} means ${c})`).join('')}`,
      parse: (text) => spellings.get(text.toLowerCase()) ?? new InvalidValue(),
    },
    about,
  );
}

/** No default. */
export const NOTHING = new Default<string | undefined>('', () => undefined);

interface Text {
  readonly type?: string;
  readonly allowed: string;
  readonly pattern: RegExp;
}

export function text(about: About<string> & Text): Setting<string> {
  return setting(
    {
      type: about.type ?? 'text',
      allowed: about.allowed,
      parse: (value) => (about.pattern.test(value) ? value : new InvalidValue()),
    },
    about,
  );
}

/** Text that may be absent. */
export function optionalText(
  about: Omit<About<string | undefined>, 'default'> & Text,
): Setting<string | undefined> {
  return setting<string | undefined>(
    {
      type: about.type ?? 'text',
      allowed: about.allowed,
      parse: (value) => (about.pattern.test(value) ? value : new InvalidValue()),
    },
    { ...about, default: NOTHING },
  );
}

/** A path; a relative one is resolved from the folder of the installation. */
export const PATH = { type: 'path', allowed: 'a path', pattern: /^[^\0\r\n]{1,4096}$/ } as const;

/** A path, or `none` to switch the file off. */
export function pathOrNone(about: About<string | undefined>): Setting<string | undefined> {
  return setting<string | undefined>(
    {
      type: 'path',
      allowed: 'a path, or none',
      parse: (value) => {
        if (value.toLowerCase() === 'none') return undefined;
        return PATH.pattern.test(value) ? value : new InvalidValue();
      },
      show: (value) => value ?? 'none',
    },
    about,
  );
}
