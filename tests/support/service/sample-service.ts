/** The server for tests of samples, and publishing to it. */
import { request } from '../http/http.ts';
import { TestServer } from './server.ts';

/** Streams reconnect soon, and a stop does not wait long for them. */
const SETTINGS = { STREAM_RETRY_MS: '100', DRAIN_TIMEOUT: '1' };

export function startService(env: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  return TestServer.start({ env: { ...SETTINGS, ...env } });
}

export function sendMessage(server: TestServer, message: object): Promise<void> {
  return post(`${server.url}/sse/api/v1/messages/send`, message);
}

export function sendBatch(server: TestServer, messages: readonly object[]): Promise<void> {
  return post(`${server.url}/sse/api/v1/messages/batch`, messages);
}

async function post(url: string, body: object): Promise<void> {
  const { status, text } = await request(url, { method: 'POST', body });
  if (status !== 200 || (JSON.parse(text) as { success: boolean }).success !== true) {
    throw new Error(`POST ${url} was answered with ${status}: ${text}`);
  }
}
