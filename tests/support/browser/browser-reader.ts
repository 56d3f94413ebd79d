/** Reads streams with Chromium's own EventSource, on a page of another origin. */

import { MESSAGE_TYPES } from '@message-push/protocol';
import type { Browser, Page } from 'playwright-core';
import type { StreamToRead } from '../python/python-reader.ts';
import type { ReceivedEvent } from '../streams/event-reader.ts';
import { within } from '../wait.ts';
import { launchChromium } from './chromium.ts';
import { PageServer } from './page-server.ts';

interface PageReader {
  readonly opened: Promise<void>;
  readonly finished: Promise<string>;
}
/** Functions of the page below. */
declare function read(url: string, count: number): PageReader;
declare const main: PageReader;

const PAGE = `<!doctype html><meta charset="utf-8"><title>Reader</title><script>
const types = ${JSON.stringify(MESSAGE_TYPES)};
function read(url, count) {
  const source = new EventSource(url);
  const events = [];
  const opened = new Promise((resolve) => { source.onmessage = () => resolve(); });
  const finished = new Promise((resolve) => {
    for (const type of types) source.addEventListener(type, (event) => {
      if (event.data === undefined) return;
      events.push({ type, data: event.data, lastEventId: event.lastEventId });
      // Sent as JSON text because lone surrogates would not survive otherwise.
      if (events.length === count) { source.close(); resolve(JSON.stringify(events)); }
    });
  });
  return { opened, finished };
}
</script>`;

export class BrowserReader {
  readonly #browser: Browser;
  readonly #pages: PageServer;
  readonly #page: Page;

  private constructor(browser: Browser, pages: PageServer, page: Page) {
    this.#browser = browser;
    this.#pages = pages;
    this.#page = page;
  }

  static async start(): Promise<BrowserReader> {
    const pages = await PageServer.start({ '/index.html': PAGE });
    const browser = await launchChromium();
    const page = await browser.newPage();
    await page.goto(pages.url);
    return new BrowserReader(browser, pages, page);
  }

  /** Resolves when the stream is open; `finished` resolves when `count` messages have arrived. */
  async open({ url, count }: StreamToRead): Promise<{ finished: () => Promise<ReceivedEvent[]> }> {
    await within(
      'the opening of a stream in Chromium',
      20_000,
      this.#page.evaluate(
        ([u, n]) => {
          const reader = read(u, n);
          Object.assign(window, { main: reader });
          return reader.opened;
        },
        [url, count] as [string, number],
      ),
    );
    return {
      finished: async () =>
        JSON.parse(
          await within(
            'the messages in Chromium',
            60_000,
            this.#page.evaluate(() => main.finished),
          ),
        ) as ReceivedEvent[],
    };
  }

  /** Reads one stream after the other. */
  async readAll(streams: readonly StreamToRead[]): Promise<ReceivedEvent[]> {
    const reading = this.#page.evaluate(
      async (list) => {
        const texts: string[] = [];
        for (const { url, count } of list) texts.push(await read(url, count).finished);
        return texts;
      },
      [...streams],
    );
    const texts = await within('the streams in Chromium', 60_000, reading);
    return texts.flatMap((text) => JSON.parse(text) as ReceivedEvent[]);
  }

  async close(): Promise<void> {
    await this.#browser.close();
    await this.#pages.close();
  }
}
