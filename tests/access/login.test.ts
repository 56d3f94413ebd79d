/** An application's login in a browser, with the browser's own EventSource. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Application } from '../support/access/application.ts';
import { CLOSED_ENV, MASTER_KEY } from '../support/access/credentials.ts';
import { launchChromium } from '../support/browser/chromium.ts';
import { request } from '../support/http/http.ts';
import { TestServer } from '../support/service/server.ts';
import { CuttableProxy } from '../support/streams/cuttable-proxy.ts';

/** Variables of the page. */
declare const seen: { type: string; status?: number; data?: { number?: number; reason?: string } }[];
declare const opened: number;
declare const source: EventSource;
declare function listen(service: string, path: string): void;

const WAIT = { timeout: 30_000 };
const API = '/sse/api/v1';

let application: Application;
let elsewhere: Application;
let server: TestServer;
let browser: Browser;

beforeAll(async () => {
  application = await Application.start();
  elsewhere = await Application.start();
  server = await TestServer.start({
    env: { ...CLOSED_ENV, ALLOWED_ORIGINS: application.origin, STREAM_RETRY_MS: '200' },
  });
  application.serviceUrl = server.url;
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await application?.close();
  await elsewhere?.close();
  await server?.dispose();
});

async function openPage(origin: string): Promise<Page> {
  // Each context has cookies of its own.
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(origin);
  return page;
}

const logIn = (page: Page) => page.evaluate(() => fetch('/login', { method: 'POST' }).then(() => undefined));
const follow = (page: Page, url: string, path: string) =>
  page.evaluate(([u, p]) => listen(u as string, p as string), [url, path]);
const hasOpened = (page: Page, times: number) => page.waitForFunction((n) => opened >= n, times, WAIT);
const hasGivenUp = (page: Page) =>
  page.waitForFunction(() => source.readyState === EventSource.CLOSED, undefined, WAIT);
const has = (page: Page, number: number) =>
  page.waitForFunction((n) => seen.some(({ data }) => data?.number === n), number, WAIT);
const endsOf = (page: Page) =>
  page.evaluate(() => seen.filter(({ type }) => type === 'end').map(({ data }) => data?.reason));

async function publish(number: number): Promise<void> {
  const body = { type: 'info', service: 'test', target: { user_id: '7' }, data: { number } };
  const url = `${server.url}${API}/messages/send`;
  expect((await request(url, { body, headers: { 'x-api-key': MASTER_KEY } })).status).toBe(200);
}

async function revoke(body: object): Promise<void> {
  const url = `${server.url}${API}/revocations`;
  expect((await request(url, { body, headers: { 'x-api-key': MASTER_KEY } })).status).toBe(200);
}

test('a session cookie opens a stream, which is carried on before it ends, until the user is revoked', async () => {
  const page = await openPage(application.origin);
  application.lifeSeconds = 6;
  await logIn(page);
  application.lifeSeconds = 600;
  await follow(page, server.url, '/sse/user/7');
  await hasOpened(page, 1);
  await publish(1);
  await has(page, 1);
  await page.waitForFunction(() => seen.some(({ type }) => type === 'renewed'), undefined, WAIT);
  expect(await page.evaluate(() => seen.find(({ type }) => type === 'renewed')?.status)).toBe(200);
  // Later than the first cookie allowed.
  await new Promise((resolve) => setTimeout(resolve, 7000));
  await publish(2);
  await has(page, 2);
  expect(await page.evaluate(() => opened)).toBe(1);
  await revoke({ user_id: '7' });
  await hasGivenUp(page);
  expect(await endsOf(page)).toEqual(['revoked']);
  expect(await page.evaluate(() => opened)).toBe(1);
  await page.context().close();
});

test('a ticket opens a stream again and again by the same URL, until it is revoked', async () => {
  const proxy = await CuttableProxy.start(server.port);
  const page = await openPage(application.origin);
  const ticket = await page.evaluate(async () => {
    const answer = await fetch('/ticket', { method: 'POST' });
    return (await answer.json()) as { ticket: string; ticket_id: string };
  });
  await follow(page, proxy.url, `/sse/user/7?ticket=${encodeURIComponent(ticket.ticket)}`);
  await hasOpened(page, 1);
  for (let round = 1; round <= 3; round++) {
    proxy.cut();
    // The page is offline and misses this one.
    await publish(10 * round);
    await has(page, 10 * round);
    await hasOpened(page, 1 + round);
  }
  await revoke({ token_id: ticket.ticket_id });
  await hasGivenUp(page);
  expect(await endsOf(page)).toEqual(['revoked']);
  const numbers = await page.evaluate(() => seen.flatMap(({ data }) => data?.number ?? []));
  expect(numbers).toEqual([10, 20, 30]);
  await page.context().close();
  await proxy.close();
});

test('without a login, and on a page of somebody else with one, an EventSource gives up at once', async () => {
  const stranger = await openPage(application.origin);
  await follow(stranger, server.url, '/sse/user/7');
  await hasGivenUp(stranger);
  // Another port is another origin but gets the same cookies.
  const page = await openPage(elsewhere.origin);
  await logIn(page);
  await follow(page, server.url, '/sse/user/7');
  await hasGivenUp(page);
  // Only this user's own stream.
  const own = await openPage(application.origin);
  await logIn(own);
  await follow(own, server.url, '/sse/user/8');
  await hasGivenUp(own);
  for (const each of [stranger, page, own]) {
    expect(await each.evaluate(() => [opened, seen.length])).toEqual([0, 0]);
    await each.context().close();
  }
});
