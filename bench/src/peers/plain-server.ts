/**
 * A fair, simple baseline: Node's `http`, one shared buffer per event, `res.write` for each response, nothing stored.
 * Node's default backlog of 511 is raised, so that the backlog does not decide the comparison.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

const all = new Set<ServerResponse>();
const byUser = new Map<string, Set<ServerResponse>>();

function join(user: string | null, response: ServerResponse): void {
  const mine = user === null ? undefined : (byUser.get(user) ?? new Set());
  if (user !== null && mine !== undefined) byUser.set(user, mine.add(response));
  all.add(response);
  response.on('close', () => {
    all.delete(response);
    mine?.delete(response);
    if (user !== null && mine?.size === 0) byUser.delete(user);
  });
}

function openStream(url: URL, response: ServerResponse): void {
  join(url.searchParams.get('user'), response);
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
  response.write(': connected\n\n');
}

async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

async function publish(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { user, type, data } = JSON.parse(await readBody(request)) as {
    user?: string;
    type: string;
    data: unknown;
  };
  const id = randomUUID();
  const message = JSON.stringify({ id, timestamp: new Date().toISOString(), type, data });
  const frame = Buffer.from(`event: ${type}\ndata: ${message}\n\n`);
  const receivers = user === undefined ? all : (byUser.get(user) ?? []);
  let sent = 0;
  for (const receiver of receivers) {
    receiver.write(frame);
    sent++;
  }
  respond(response, 200, { success: true, message_id: id, sent_to_connections: sent });
}

function respond(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
  });
  response.end(text);
}

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://localhost');
  if (url.pathname === '/stream') openStream(url, response);
  else if (url.pathname === '/publish' && request.method === 'POST') {
    publish(request, response).catch((error: unknown) => respond(response, 400, { error: String(error) }));
  } else respond(response, url.pathname === '/health' ? 200 : 404, {});
});

server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
