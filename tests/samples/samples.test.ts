/** The samples of the guide, exactly as written there, run in the environments that they are for. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { buildReactPage } from '../support/browser/build-react-page.ts';
import { launchChromium } from '../support/browser/chromium.ts';
import { PageServer } from '../support/browser/page-server.ts';
import {
  BROWSER_SAMPLE,
  GUIDE_ADDRESS,
  INTEGRATION_SAMPLE,
  PUBLISHER_SAMPLE,
  REACT_SAMPLE,
} from '../support/guides/guide-samples.ts';
import { runPython } from '../support/python/run-python.ts';
import { sendBatch, sendMessage, startService } from '../support/service/sample-service.ts';
import type { TestServer } from '../support/service/server.ts';
import { EventReader } from '../support/streams/event-reader.ts';

const WAIT = { timeout: 30_000 };

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'message-push-samples-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('with the defaults', () => {
  let server: TestServer;

  beforeAll(async () => {
    server = await startService();
  });
  afterAll(() => server.dispose());

  test('the browser sample receives progress and error messages on a page of another origin', async () => {
    expect(BROWSER_SAMPLE).toContain(`new EventSource('http://${GUIDE_ADDRESS}/sse/user/123')`);
    const pages = await PageServer.start({
      '/index.html': '<!doctype html><title>Sample</title><script src="/sample.js"></script>',
      '/sample.js': BROWSER_SAMPLE,
    });
    // The sample is not changed: the browser resolves the guide's address to the port of this test.
    const browser = await launchChromium([
      `--host-resolver-rules=MAP ${GUIDE_ADDRESS} 127.0.0.1:${server.port}`,
    ]);
    const lines: string[] = [];
    const page = await browser.newPage();
    const said = (line: string) => expect.poll(() => lines, { timeout: 30_000 }).toContain(line);
    page.on('console', (message) => lines.push(`${message.type()} ${message.text()}`));
    await page.goto(pages.url);
    await said('log Connection opened');
    for (const progress of [10, 50, 100]) {
      await sendMessage(server, {
        type: 'progress',
        service: 'knowledge-service',
        target: { user_id: '123' },
        data: { progress },
      });
    }
    await sendMessage(server, {
      type: 'error',
      service: 'knowledge-service',
      target: { user_id: '123' },
      data: { error_message: '文件 “报告.pdf” 无法读取' },
    });
    await said('error Error: 文件 “报告.pdf” 无法读取');
    await browser.close();
    await pages.close();
    expect(lines.filter((line) => line.startsWith('log Progress'))).toEqual([
      'log Progress: 10%',
      'log Progress: 50%',
      'log Progress: 100%',
    ]);
    expect(lines.filter((line) => line.startsWith('error Error:'))).toHaveLength(1);
  });

  test('the publisher sample sends a message with httpx, which reaches the user and the task once', async () => {
    const reader = await EventReader.open(`${server.url}/sse/task/task_456?user_id=user_123`);
    const script = join(folder, 'publisher.py');
    expect(PUBLISHER_SAMPLE.split(GUIDE_ADDRESS)).toHaveLength(2);
    writeFileSync(script, PUBLISHER_SAMPLE.replace(GUIDE_ADDRESS, `localhost:${server.port}`));
    const output = await runPython([script]);
    expect(output).toMatch(
      /^Message sent: \{'success': True, 'message_id': '[\w-]+', 'sent_to_connections': 1, 'timestamp': '[^']+'[,}]/,
    );
    const { data } = await reader.until((event) => event.type === 'progress');
    const sentId = /'message_id': '([\w-]+)'/.exec(output)?.[1];
    expect(JSON.parse(data)).toMatchObject({
      id: sentId,
      type: 'progress',
      service: 'knowledge-service',
      source: 'document_processing',
      target: { user_id: 'user_123', task_id: 'task_456' },
      data: { task_id: 'task_456', progress: 50, stage: 'processing', message: '处理进度: 50%' },
    });
    // The next message arrives after everything that the sample caused.
    await sendMessage(server, { type: 'info', service: 's', target: { user_id: 'user_123' }, data: {} });
    await reader.until((event) => event.type === 'info');
    expect(reader.events.filter((event) => event.type === 'progress')).toHaveLength(1);
    await reader.close();
  });

  test('the integration sample, which names no source, is accepted and gets the name of the service', async () => {
    const reader = await EventReader.open(`${server.url}/sse/user/u-9`);
    // The sample calls a module of the reader's application; this is a minimal one.
    mkdirSync(join(folder, 'shared'));
    writeFileSync(
      join(folder, 'shared', 'service_client.py'),
      [
        'import enum, httpx, os',
        'class CallMethod(enum.Enum):',
        '    POST = "POST"',
        'async def call_service(service_name, method, path, json):',
        '    async with httpx.AsyncClient(base_url=os.environ["SERVICE_URL"]) as client:',
        '        response = await client.request(method.value, path, json=json)',
        '        response.raise_for_status()',
        '        return response.json()',
      ].join('\n'),
    );
    writeFileSync(join(folder, 'integration.py'), INTEGRATION_SAMPLE);
    const call =
      'import asyncio, integration; print(asyncio.run(integration.send_processing_update("u-9", "t-1", 7)))';
    const output = await runPython(['-c', call], { PYTHONPATH: folder, SERVICE_URL: server.url });
    expect(output).toContain("'success': True");
    const { data } = await reader.until((event) => event.type === 'progress');
    expect(JSON.parse(data)).toMatchObject({
      service: 'knowledge-service',
      source: 'message-push-service',
      target: { user_id: 'u-9' },
      data: { task_id: 't-1', progress: 7, stage: 'vectorization', message: '向量化进度: 7%' },
    });
    await reader.close();
  });
});

describe('with SSE_EVENT_MODE=both', () => {
  let server: TestServer;
  let browser: Browser;
  let pages: PageServer;
  let pageFolder: string;

  beforeAll(async () => {
    pageFolder = await buildReactPage();
    server = await startService({ SSE_EVENT_MODE: 'both' });
    pages = await PageServer.start({ folder: pageFolder });
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    await pages?.close();
    await server?.dispose();
    rmSync(pageFolder, { recursive: true, force: true });
  });

  const shownNumbers = (page: Page) =>
    page.$$eval('li', (items) => items.map((item) => Number(item.dataset['number'])));
  const status = (page: Page, text: string) =>
    page.waitForFunction((t) => document.querySelector('#status')?.textContent === t, text, WAIT);
  const shows = (page: Page, count: number) =>
    page.waitForFunction((n) => document.querySelectorAll('li').length >= n, count, WAIT);

  function messages(from: number, to: number): object[] {
    const types = ['progress', 'status', 'success', 'warning', 'info', 'custom'];
    return Array.from({ length: to - from + 1 }, (_, i) => ({
      type: types[(from + i) % types.length],
      service: 'knowledge-service',
      target: { user_id: 'user_123' },
      data: { number: from + i, message: `处理进度: ${from + i}%` },
    }));
  }

  test('the React hook gets every message once, also across a restart of the service', async () => {
    expect(REACT_SAMPLE).toContain('export const useSSEConnection');
    const page = await browser.newPage();
    const errors: Error[] = [];
    page.on('pageerror', (error) => errors.push(error));
    await page.goto(`${pages.url}/?user=user_123&service=${encodeURIComponent(server.url)}`);
    await status(page, 'connected');
    for (const message of messages(1, 5)) await sendMessage(server, message);
    await shows(page, 5);

    await server.stop();
    await status(page, 'error');
    await server.start();
    // Published before or after the page reconnects: both must arrive.
    await sendBatch(server, messages(6, 15));
    await status(page, 'connected');
    await sendBatch(server, messages(16, 20));
    await shows(page, 20);

    await server.kill();
    await server.start();
    await sendBatch(server, messages(21, 25));
    await shows(page, 25);
    await status(page, 'connected');
    await sendBatch(server, messages(26, 26));
    await shows(page, 26);

    const all = Array.from({ length: 26 }, (_, i) => i + 1);
    expect(await shownNumbers(page)).toEqual(all);
    const handed = await page.evaluate(() =>
      (window as unknown as { handed: { type: string; data: { number: number } }[] }).handed
        .filter(({ type }) => type !== 'connection')
        .map(({ data }) => data.number),
    );
    expect(handed).toEqual(all);
    expect(errors).toEqual([]);
    const picture = process.env['REACT_PAGE_PICTURE'];
    if (picture !== undefined) await page.screenshot({ path: picture });
    await page.close();
  });
});
