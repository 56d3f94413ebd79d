import { describe, expect, it } from 'vitest';
import { TurnLoop } from './turn-loop.ts';

/** Turns that complete when the test says so. */
class Turns {
  readonly sizes: number[] = [];
  #answers: (() => void)[] = [];

  readonly turn = (publishes: number): Promise<void> => {
    this.sizes.push(publishes);
    return new Promise((resolve) => this.#answers.push(resolve));
  };

  async answerAll(): Promise<void> {
    const answers = this.#answers;
    this.#answers = [];
    for (const answer of answers) answer();
    // The loop takes its next turns in the microtasks that follow.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('publishing in turns', () => {
  it('has so many turns under way and counts what was answered', async () => {
    const turns = new Turns();
    const loop = new TurnLoop(turns.turn);
    loop.start({ publishes: 5, underWay: 2 });
    expect(turns.sizes).toEqual([5, 5]);
    expect(loop.published).toBe(0);
    await turns.answerAll();
    expect(loop.published).toBe(10);
    expect(turns.sizes).toHaveLength(4);
    const stopped = loop.stop();
    await turns.answerAll();
    await stopped;
    expect(loop.published).toBe(20);
    expect(turns.sizes).toHaveLength(4);
  });

  it('tells whoever stops it that a turn has failed', async () => {
    const loop = new TurnLoop(() => Promise.reject(new Error('refused')));
    loop.start({ publishes: 1, underWay: 1 });
    await expect(loop.stop()).rejects.toThrow('refused');
  });
});
