/** Reads the URL of a request. */

/** The path without the query, which may hold credentials and must not be logged or shown. */
export function pathOf(url: string): string {
  const end = url.search(/[?#]/);
  return end === -1 ? url : url.slice(0, end);
}

/**
 * Query parameters by name; a repeated one is a list. An empty one counts as absent, because that is how several HTTP
 * clients write None.
 */
export function parseQuery(text: string): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = Object.create(null);
  for (const [name, value] of new URLSearchParams(text)) {
    if (value === '') continue;
    const known = query[name];
    query[name] = known === undefined ? value : [known, value].flat();
  }
  return query;
}
