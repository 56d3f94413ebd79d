/**
 * Renders the OpenAPI document as one page of HTML for reading, searching and printing, without scripts and without
 * anything from other hosts. A pure function. `/docs` is the page for trying things out.
 */
import { createHash } from 'node:crypto';
import { REFERENCE_STYLE } from './reference-style.ts';

/** The parts of a JSON Schema that are shown. */
interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly examples?: readonly unknown[];
  readonly 'x-event'?: string;
}

interface Media {
  readonly schema: Schema;
  readonly example?: unknown;
}

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: Schema;
}

interface Answer {
  readonly description: string;
  readonly content?: Readonly<Record<string, Media>>;
}

interface Operation {
  readonly tags?: readonly string[];
  readonly operationId?: string;
  readonly summary?: string;
  readonly description?: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, Media>> };
  readonly responses: Readonly<Record<string, Answer>>;
}

export interface ApiDocument {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string };
  readonly tags?: readonly { readonly name: string; readonly description?: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

interface Route {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

const styleHash = createHash('sha256').update(REFERENCE_STYLE).digest('base64');
export const REFERENCE_CSP = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; frame-ancestors 'none'`;

/** `baseUrl` is the service that the examples call. */
export function renderReference(document: ApiDocument, baseUrl: string): string {
  const routes = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ method, path, operation })),
  );
  const tags = document.tags ?? [];
  const routesOf = (tag: string) => routes.filter(({ operation }) => operation.tags?.includes(tag));
  const schemas = Object.entries(document.components.schemas);
  const { title, version, description } = document.info;
  const main = [
    `<h1>${escapeHtml(title)} <span class="soft">${escapeHtml(version)}</span></h1>`,
    prose(description),
    '<p>The same as <a href="/openapi.json">OpenAPI 3.1</a>, and <a href="/docs">to try out</a>.</p>',
    ...tags.map(
      ({ name, description: about }) =>
        `<section><h2 id="${slug(name)}">${escapeHtml(name)}</h2>${prose(about)}${routesOf(name)
          .map((route) => routeHtml(route, baseUrl))
          .join('')}</section>`,
    ),
    `<section><h2 id="schemas">Schemas</h2>${schemas.map(([name, schema]) => schemaSection(name, schema)).join('')}</section>`,
  ];
  const nav = [
    `<a class="name" href="#">${escapeHtml(title)}</a>`,
    ...tags.map(({ name }) => `<strong>${escapeHtml(name)}</strong>${routesOf(name).map(navLink).join('')}`),
    '<strong>Schemas</strong>',
    ...schemas.map(([name]) => `<a href="#${slug(name)}">${escapeHtml(name)}</a>`),
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}: API reference</title><style>${REFERENCE_STYLE}</style></head>
<body><nav aria-label="Contents">${nav.join('')}</nav><main>${main.join('\n')}</main></body></html>
`;
}

function routeHtml({ method, path, operation }: Route, baseUrl: string): string {
  const parameters = (operation.parameters ?? []).toSorted((a, b) => placeOf(a) - placeOf(b));
  const body = Object.values(operation.requestBody?.content ?? {})[0];
  return [
    `<h3 id="${routeId({ method, path, operation })}">${escapeHtml(operation.summary ?? path)}</h3>`,
    `<p class="path"><span class="method ${method}">${method.toUpperCase()}</span> <code>${escapeHtml(path)}</code></p>`,
    prose(operation.description),
    parameters.length === 0 ? '' : `<h4>Parameters</h4>${table(parameters.map(parameterRow))}`,
    body === undefined ? '' : `<h4>Body</h4>${prose(body.schema.description)}${schemaHtml(body.schema)}`,
    body === undefined ? '' : curlExample(method, baseUrl + path, body),
    '<h4>Answers</h4>',
    ...Object.entries(operation.responses).map(([status, answer]) => answerHtml(status, answer)),
  ].join('');
}

const PLACES = ['path', 'query', 'header'];

function placeOf(parameter: Parameter): number {
  return PLACES.indexOf(parameter.in);
}

function answerHtml(status: string, answer: Answer): string {
  const media = Object.values(answer.content ?? {})[0];
  const inside = media === undefined ? '' : `${schemaHtml(media.schema)}${exampleHtml(media)}`;
  return `<details><summary><code>${status}</code> ${inline(answer.description)}</summary>${inside}</details>`;
}

function schemaSection(name: string, schema: Schema): string {
  const event = schema['x-event'];
  const arrival =
    event === undefined ? '' : `<p class="soft">Event name: <code>${escapeHtml(event)}</code></p>`;
  return `<h3 id="${slug(name)}">${escapeHtml(name)}</h3>${arrival}${prose(schema.description)}${schemaHtml(schema)}${exampleHtml({ schema })}`;
}

function parameterRow(parameter: Parameter): string {
  const about = parameter.description ?? parameter.schema.description;
  const place = `<span class="soft">${escapeHtml(parameter.in)}</span>`;
  return row(parameter.name, parameter.required === true, `${typeText(parameter.schema)} ${place}`, about);
}

/** The fields of a schema; those of nested objects are named by their path. */
function schemaHtml(schema: Schema): string {
  const rows = fieldRows(schema, '');
  return rows.length === 0 ? `<p>${typeText(schema)}</p>` : table(rows);
}

function fieldRows(schema: Schema, prefix: string): string[] {
  if (schema.items !== undefined) return fieldRows(schema.items, `${prefix}[].`);
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const path = prefix + name;
    const own = row(path, schema.required?.includes(name) === true, typeText(field), field.description);
    const inner =
      field.items === undefined ? fieldRows(field, `${path}.`) : fieldRows(field.items, `${path}[].`);
    return [own, ...inner];
  });
}

function row(name: string, isRequired: boolean, type: string, description: string | undefined): string {
  const mark = isRequired ? '<span class="required">required</span>' : '';
  return `<tr><td><code>${escapeHtml(name)}</code>${mark}</td><td>${type}</td><td>${prose(description)}</td></tr>`;
}

function table(rows: readonly string[]): string {
  return `<table><thead><tr><th>Field</th><th>Type</th><th>Meaning</th></tr></thead><tbody>${rows.join('')}</tbody></table>`;
}

function typeText(schema: Schema): string {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.split('/').at(-1) ?? '';
    return `<a href="#${slug(name)}">${escapeHtml(name)}</a>`;
  }
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeText).join(' or ');
  if (schema.enum !== undefined)
    return schema.enum.map((value) => `<code>${escapeHtml(valueText(value))}</code>`).join(' ');
  if (schema.const !== undefined) return `<code>${escapeHtml(valueText(schema.const))}</code>`;
  const type = [schema.type ?? 'any'].flat().join(' or ');
  const inner = schema.items === undefined ? '' : ` of ${typeText(schema.items)}`;
  return `${escapeHtml(schema.format ?? type)}${inner}<br><span class="soft">${escapeHtml(boundsText(schema))}</span>`;
}

function boundsText(schema: Schema): string {
  const { minimum, maximum, minLength, maxLength, maxItems } = schema;
  const range = (low: number | undefined, high: number | undefined, unit: string) => {
    if (low === undefined && high === undefined) return '';
    if (high === undefined || high === Number.MAX_SAFE_INTEGER) return `from ${low}${unit}`;
    return low === undefined ? `at most ${high}${unit}` : `${low} to ${high}${unit}`;
  };
  const parts = [
    range(minimum, maximum, ''),
    range(minLength, maxLength, ' characters'),
    range(undefined, maxItems, ' items'),
    schema.default === undefined || schema.default === '' ? '' : `default ${valueText(schema.default)}`,
  ];
  return parts.filter((part) => part !== '').join(', ');
}

function valueText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function exampleHtml(media: Media): string {
  const example = media.example ?? media.schema.examples?.[0];
  if (example === undefined) return '';
  const text = typeof example === 'string' ? example : JSON.stringify(example, null, 2);
  return `<h4>Example</h4><pre><code>${escapeHtml(text)}</code></pre>`;
}

function curlExample(method: string, url: string, media: Media): string {
  const example = media.example ?? media.schema.examples?.[0];
  if (example === undefined) return '';
  const command = [
    `curl -X ${method.toUpperCase()} ${url} \\`,
    "  -H 'Content-Type: application/json' \\",
    `  -d '${JSON.stringify(example, null, 2).replaceAll("'", "'\\''")}'`,
  ];
  return `<h4>Example</h4><pre><code>${escapeHtml(command.join('\n'))}</code></pre>`;
}

function navLink(route: Route): string {
  const method = `<span class="method ${route.method}">${route.method.toUpperCase()}</span>`;
  return `<a href="#${routeId(route)}">${method}<span>${escapeHtml(route.operation.summary ?? route.path)}</span></a>`;
}

function routeId({ method, path, operation }: Route): string {
  return operation.operationId ?? slug(`${method}-${path}`);
}

function slug(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9]+/g, '-');
}

/** The Markdown of the descriptions: paragraphs, `code`, **strong** and *emphasis*. */
function prose(text: string | undefined): string {
  if (text === undefined) return '';
  return text
    .split('\n\n')
    .map((paragraph) => `<p>${inline(paragraph)}</p>`)
    .join('');
}

function inline(text: string): string {
  return escapeHtml(text)
    .replaceAll(/`([^`]+)`/g, '<code>$1</code>')
    .replaceAll(/\*\*([^*]+)\*\*/g, '<strong>$1</strong>')
    .replaceAll(/\*([^*]+)\*/g, '<em>$1</em>');
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
