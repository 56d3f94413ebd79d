import { beforeEach, describe, expect, test } from 'vitest';
import { NodeBus } from './node-bus.ts';

type Sums = { readonly sum: { readonly question: readonly number[]; readonly answer: number } };

/** A pub/sub of this process: letters arrive a turn later, unless they are lost. */
class Post {
  readonly buses = new Map<string, NodeBus<Sums>>();
  readonly dead = new Set<string>();
  readonly alive = new Set<string>();
  isUnreachable = false;
  /** Listeners that are no nodes. */
  strangers = 0;

  add(nodeId: string, answer: (numbers: readonly number[]) => number, onChange = (): void => {}): void {
    this.alive.add(nodeId);
    this.buses.set(
      nodeId,
      new NodeBus<Sums>({
        nodeId,
        send: async (to, letter) => this.#send(to, letter),
        answer: (_about, numbers) => answer(numbers),
        aliveNodes: () => this.alive,
        onChange,
      }),
    );
  }

  bus(nodeId: string): NodeBus<Sums> {
    return this.buses.get(nodeId) as NodeBus<Sums>;
  }

  #send(to: string | undefined, letter: string): number {
    if (this.isUnreachable) throw new Error('Redis is unreachable');
    const targets = to === undefined ? [...this.buses.keys()] : [to];
    const heard = targets.filter((id) => this.buses.has(id) && !this.dead.has(id));
    for (const id of heard) setImmediate(() => this.bus(id).receive(Buffer.from(letter)));
    return heard.length + (to === undefined ? this.strangers : 0);
  }
}

const LONG_MS = 60_000;
const sumOf = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
let post: Post;

beforeEach(() => {
  post = new Post();
  post.add('a', sumOf);
  post.add('b', sumOf);
  post.add('c', (numbers) => sumOf(numbers) + 1);
});

describe('a question', () => {
  test('to all is answered by every other node', async () => {
    const answers = await post.bus('a').askAll('sum', [1, 2], LONG_MS);
    expect(Object.fromEntries(answers)).toEqual({ b: 3, c: 4 });
  });

  test('to one is answered by it', async () => {
    expect(await post.bus('a').ask('c', 'sum', [5], LONG_MS)).toBe(6);
  });

  test('waits for nobody who does not listen', async () => {
    post.dead.add('b');
    expect([...(await post.bus('a').askAll('sum', [1], LONG_MS))]).toEqual([['c', 2]]);
    expect(await post.bus('a').ask('b', 'sum', [1], LONG_MS)).toBeUndefined();
  });

  test('is over when all live nodes have answered, though a stranger listens too', async () => {
    post.strangers = 1;
    expect((await post.bus('a').askAll('sum', [1], LONG_MS)).size).toBe(2);
  });

  test('brings what has come when its time is up', async () => {
    post.strangers = 1;
    post.dead.add('b');
    expect([...(await post.bus('a').askAll('sum', [1], 30))]).toEqual([['c', 2]]);
  });

  test('is over when a node cannot answer it', async () => {
    post.add('b', () => {
      throw new Error('what is a sum?');
    });
    expect(await post.bus('a').ask('b', 'sum', [1], LONG_MS)).toBeUndefined();
    expect([...(await post.bus('a').askAll('sum', [1], LONG_MS))]).toEqual([['c', 2]]);
  });

  test('has no answer while Redis is unreachable, and none any more when the bus closes', async () => {
    post.isUnreachable = true;
    expect((await post.bus('a').askAll('sum', [1], LONG_MS)).size).toBe(0);
    post.isUnreachable = false;
    post.strangers = 1;
    post.dead.add('b');
    const answers = post.bus('a').askAll('sum', [1], LONG_MS);
    post.bus('a').close();
    expect((await answers).size).toBe(0);
  });
});

test('a change is heard by all others', async () => {
  const heard: string[] = [];
  for (const id of ['a', 'b', 'c']) post.add(id, sumOf, () => heard.push(id));
  await post.bus('b').announceChange();
  await new Promise((resolve) => setImmediate(resolve));
  expect(heard).toEqual(['a', 'c']);
});

test.each([
  '',
  '{',
  'null',
  '7',
  '{"kind":"question"}',
  '{"from":"b","kind":"x"}',
  '{"kind":"answer","from":"b","number":9}',
])('what is no letter is ignored: %s', (text) => {
  expect(() => post.bus('a').receive(Buffer.from(`@${text}`))).not.toThrow();
});
