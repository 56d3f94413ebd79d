/** The methods of each path, to tell 405 from 404 and to fill `Allow`. */

export class MethodTable {
  readonly #methodsByPattern = new Map<string, Set<string>>();
  #matchers: { regExp: RegExp; methods: Set<string> }[] = [];

  /** `pattern` is a route as Fastify writes it: `/a/:b`, `/files/*`. */
  add(pattern: string, methods: string | readonly string[]): void {
    let known = this.#methodsByPattern.get(pattern);
    if (known === undefined) {
      known = new Set();
      this.#methodsByPattern.set(pattern, known);
      this.#matchers.push({ regExp: patternRegExp(pattern), methods: known });
    }
    for (const method of [methods].flat()) known.add(method);
  }

  /** The methods of a path, sorted; empty if there is no such path. */
  methodsOf(path: string): string[] {
    const found = new Set<string>();
    for (const { regExp, methods } of this.#matchers) {
      if (!regExp.test(path)) continue;
      for (const method of methods) found.add(method);
    }
    return [...found].toSorted();
  }
}

function patternRegExp(pattern: string): RegExp {
  const source = pattern
    .split('/')
    .map((segment) => {
      if (segment.startsWith(':')) return '[^/]+';
      return segment === '*' ? '.*' : segment.replace(/[.+?^${}()|[\]\\]/g, '\\$&');
    })
    .join('/');
  return new RegExp(`^${source}/?$`);
}
