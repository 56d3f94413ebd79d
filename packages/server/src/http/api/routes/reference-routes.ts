/** The OpenAPI document as JSON and as a page to read. */
import type { Api } from '../api-options.ts';
import { type ApiDocument, REFERENCE_CSP, renderReference } from '../docs/reference-page.ts';

export function registerReferenceRoutes(api: Api, baseUrl: string): void {
  let page: string | undefined;

  api.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) =>
    reply.type('application/json; charset=utf-8').send(JSON.stringify(api.swagger())),
  );

  api.get('/redoc', { schema: { hide: true } }, async (_request, reply) => {
    page ??= renderReference(api.swagger() as unknown as ApiDocument, baseUrl);
    return reply.header('content-security-policy', REFERENCE_CSP).type('text/html; charset=utf-8').send(page);
  });
}
