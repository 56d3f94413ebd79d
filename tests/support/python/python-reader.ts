/** Runs read_stream.py as a process: the third parser. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ReceivedEvent } from '../streams/event-reader.ts';
import { within } from '../wait.ts';
import { PYTHON, PYTHON_ENV } from './run-python.ts';

const SCRIPT = fileURLToPath(new URL('read_stream.py', import.meta.url));

export interface StreamToRead {
  readonly url: string;
  /** The number of messages after which the reader leaves it. */
  readonly count: number;
}

export class PythonReader {
  readonly events: ReceivedEvent[] = [];
  /** Resolves when all streams have been read. */
  readonly finished: Promise<void>;
  /** Resolves when the first stream is open. */
  readonly opened: Promise<void>;

  constructor(streams: readonly StreamToRead[]) {
    const child = spawn(PYTHON, [SCRIPT, '-'], { env: PYTHON_ENV, stdio: ['pipe', 'pipe', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (chunk) => {
      errors += chunk;
    });
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      const said = JSON.parse(line) as ReceivedEvent | { open: string };
      if (!('open' in said)) this.events.push(said);
    });
    this.finished = once(child, 'close').then(([status]) => {
      if (status !== 0) throw new Error(`the Python reader ended with ${status}: ${errors}`);
    });
    this.opened = within(
      'the opening of a stream in Python',
      20_000,
      Promise.race([once(lines, 'line').then(() => undefined), this.finished]),
    );
    // Both are awaited later, or never if the test fails before.
    for (const promise of [this.finished, this.opened]) promise.catch(() => undefined);
    child.stdin.end(streams.map(({ url, count }) => `${url} ${count}\n`).join(''));
  }
}
