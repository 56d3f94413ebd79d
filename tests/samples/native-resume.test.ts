/** The service's streams in a browser's own EventSource, without any client code of this project. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium } from '../support/browser/chromium.ts';
import { PageServer } from '../support/browser/page-server.ts';
import { ROOT } from '../support/repository.ts';
import { sendBatch, sendMessage, startService } from '../support/service/sample-service.ts';
import type { TestServer } from '../support/service/server.ts';
import { CuttableProxy } from '../support/streams/cuttable-proxy.ts';

interface Received {
  readonly type: string;
  readonly message: { readonly type: string; readonly data: { readonly number: number } };
}
/** Variables of the page. */
declare const received: Received[];
declare const failures: number[];
declare const opened: number;
declare const source: EventSource;

const WAIT = { timeout: 30_000 };
const PAGE = readFileSync(join(ROOT, 'tests/pages/native-stream.html'), 'utf8');
const CHANNELS = ['user', 'channel', 'kb', 'task'] as const;
const TARGETS = [{ user_id: 'r' }, { channel: 'r' }, { kb_id: 'r' }, { task_id: 'r' }];

let server: TestServer;
let browser: Browser;
let pages: PageServer;

beforeAll(async () => {
  server = await startService();
  pages = await PageServer.start({ '/index.html': PAGE });
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await pages?.close();
  await server?.dispose();
});

function openPage(page: Page, stream: string): Promise<unknown> {
  return page.goto(`${pages.url}/?stream=${encodeURIComponent(stream)}`);
}

async function messagesOf(page: Page): Promise<Received[]> {
  const all = await page.evaluate(() => received);
  return all.filter(({ message }) => message.type !== 'connection');
}

const hasNumber = (page: Page, number: number) =>
  page.waitForFunction((n) => received.some(({ message }) => message.data.number === n), number, WAIT);
const hasOpened = (page: Page, more: number) => page.waitForFunction((n) => opened >= n, more, WAIT);

test('several channels arrive once each and in order through cuts, restarts and a reload', async () => {
  const proxy = await CuttableProxy.start(server.port);
  const page = await browser.newPage();
  const channels = CHANNELS.map((name) => `${name}:r`).join(',');
  await openPage(page, `${proxy.url}/sse/stream?channels=${channels}`);
  await hasOpened(page, 1);

  let number = 0;
  /** Publishes as publishers do: what is not acknowledged is sent again with the same id. */
  const publish = async (count: number): Promise<void> => {
    const deadlineMs = Date.now() + 30_000;
    for (const last = number + count; number < last; ) {
      number++;
      const target = TARGETS[number % TARGETS.length];
      const message = { type: 'progress', service: 's', id: `n-${number}`, target, data: { number } };
      for (;;) {
        try {
          await sendMessage(server, message);
          break;
        } catch (error) {
          if (Date.now() > deadlineMs) throw error;
          await setTimeout(10);
        }
      }
    }
  };
  const restart = async (how: 'stop' | 'kill'): Promise<void> => {
    await server[how]();
    await server.start();
  };
  const disruptions: (() => unknown)[] = [
    () => proxy.cut(),
    () => restart('stop'),
    async () => {
      proxy.takeDown();
      await page.waitForFunction(() => source.readyState === EventSource.CONNECTING, undefined, WAIT);
      proxy.restore();
    },
    () => page.reload(),
    () => restart('kill'),
    () => proxy.cut(),
    async () => {
      proxy.takeDown();
      await restart('kill');
      proxy.restore();
    },
    () => page.reload(),
    async () => {
      proxy.cut();
      await page.reload();
    },
  ];
  await publish(4);
  for (const disrupt of disruptions) {
    const publishing = publish(40);
    await disrupt();
    await publishing;
    await publish(10);
    await hasNumber(page, number);
  }
  await page.waitForFunction(
    (n) => received.filter(({ message }) => message.type === 'progress').length >= n,
    number,
    WAIT,
  );
  expect(proxy.accepted).toBeGreaterThan(disruptions.length);

  const got = await messagesOf(page);
  expect(got.filter(({ type }) => type !== 'progress')).toEqual([]);
  const numbers = got.map(({ message }) => message.data.number);
  expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: number }, (_, i) => i + 1));
  for (let slot = 0; slot < TARGETS.length; slot++) {
    const ofChannel = numbers.filter((n) => n % TARGETS.length === slot);
    expect(ofChannel, `order on ${CHANNELS[slot]}:r`).toEqual(ofChannel.toSorted((a, b) => a - b));
  }
  await page.close();
  await proxy.close();
});

describe('a page may ask', () => {
  async function eventsOf(query: string, user: string): Promise<{ all: Received[]; failures: number[] }> {
    const page = await browser.newPage();
    await openPage(page, `${server.url}/sse/user/${user}${query}`);
    await hasOpened(page, 1);
    const types = ['progress', 'error', 'success'];
    await sendBatch(
      server,
      types.map((type, i) => ({ type, service: 's', target: { user_id: user }, data: { number: i + 1 } })),
    );
    await hasNumber(page, types.length);
    const failed = await page.evaluate(() => failures);
    const all = await messagesOf(page);
    await page.close();
    return { all, failures: failed };
  }
  const pairs = (all: readonly Received[]) => all.map(({ type, message }) => [type, message.type]);

  test('for unnamed events, all of which reach onmessage', async () => {
    const { all } = await eventsOf('?event_mode=message', 'mode-1');
    expect(pairs(all)).toEqual([
      ['message', 'progress'],
      ['message', 'error'],
      ['message', 'success'],
    ]);
  });

  test('for both, a named and an unnamed event for each message', async () => {
    const { all } = await eventsOf('?event_mode=both', 'mode-2');
    expect(pairs(all)).toEqual([
      ['progress', 'progress'],
      ['message', 'progress'],
      ['error', 'error'],
      ['message', 'error'],
      ['success', 'success'],
      ['message', 'success'],
    ]);
  });

  test('for another name of error messages, which tells them from failures of the connection', async () => {
    const { all, failures: before } = await eventsOf('?error_event=app_error', 'mode-3');
    expect(pairs(all)).toEqual([
      ['progress', 'progress'],
      ['app_error', 'error'],
      ['success', 'success'],
    ]);
    expect(before).toEqual([]);
  });

  test('without it, error messages and failures of the connection share a name', async () => {
    const { all } = await eventsOf('', 'mode-4');
    expect(pairs(all)).toContainEqual(['error', 'error']);
  });
});
