import { expect, test } from 'vitest';
import { Closers } from './closers.ts';

test('closers run in the reverse order, each when the one before is done', async () => {
  const closers = new Closers();
  const closed: string[] = [];
  for (const name of ['engine', 'access', 'http']) {
    closers.add(name, async () => {
      await new Promise((resolve) => setImmediate(resolve));
      closed.push(name);
    });
  }
  await closers.unwind();
  expect(closed).toEqual(['http', 'access', 'engine']);
  await closers.unwind();
  expect(closed).toHaveLength(3);
});

test('a closer that fails keeps none of the others open, and is named', async () => {
  const closers = new Closers();
  const closed: string[] = [];
  const cause = new Error('full');
  closers.add('the engine', () => closed.push('engine'));
  closers.add('the log', () => {
    throw cause;
  });
  closers.add('the API', () => Promise.reject(new Error('late')));
  await expect(closers.unwind()).rejects.toMatchObject({ message: 'the API could not be closed' });
  expect(closed).toEqual(['engine']);
});
