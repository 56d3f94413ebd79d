/** A web application that uses the service: pages, a login with a session cookie, a back end. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { requestJson } from '../http/http.ts';
import { COOKIE, MASTER_KEY, makeJwt, secondsFromNow } from './credentials.ts';

const PAGE = `<!doctype html><title>application</title><script>
  const seen = [];
  let opened = 0;
  let source;
  /** Renews the stream's login when it is about to expire. */
  async function renew(service, event) {
    const { data } = JSON.parse(event.data);
    await fetch('/login', { method: 'POST' });
    const url = service + '/sse/api/v1/connections/' + data.connection_id + '/renew';
    const answer = await fetch(url, { method: 'POST', credentials: 'include' });
    seen.push({ type: 'renewed', status: answer.status });
  }
  function listen(service, path) {
    source = new EventSource(service + path, { withCredentials: true });
    source.onopen = () => opened++;
    for (const type of ['info', 'end', 'reconnect', 'gap'])
      source.addEventListener(type, (event) => seen.push({ type, data: JSON.parse(event.data).data }));
    source.addEventListener('expiring', (event) => renew(service, event));
  }
</script>`;

export class Application {
  readonly #server: Server;
  /** URL of the service; set late because the service needs the origin of the pages first. */
  serviceUrl = '';
  /** Lifetime of new logins. */
  lifeSeconds = 600;

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
    });
  }

  static async start(): Promise<Application> {
    const application = new Application();
    await new Promise<void>((resolve) => application.#server.listen(0, '127.0.0.1', resolve));
    return application;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer({ method, url }: IncomingMessage, response: ServerResponse): Promise<void> {
    if (method === 'POST' && url === '/login') {
      const jwt = makeJwt({ sub: '7', exp: secondsFromNow(this.lifeSeconds) });
      response.setHeader('set-cookie', `${COOKIE}=${jwt}; HttpOnly; SameSite=Lax; Path=/`);
      response.writeHead(204).end();
    } else if (method === 'POST' && url === '/ticket') {
      // The application knows who is logged in; the browser gets neither key nor token.
      const { text } = await requestJson(`${this.serviceUrl}/sse/api/v1/tickets`, {
        headers: { 'x-api-key': MASTER_KEY },
        body: { user_id: '7', origin: this.origin },
      });
      response.writeHead(200, { 'content-type': 'application/json' }).end(text);
    } else response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(PAGE);
  }
}
