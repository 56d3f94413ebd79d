import { expect, it } from 'vitest';
import { LineSplitter } from './line-splitter.ts';

function split(pieces: readonly string[]): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line));
  for (const piece of pieces) splitter.push(piece);
  splitter.end();
  return lines;
}

it('lines are put together from pieces, the last one too when it has no end', () => {
  expect(split(['a', 'b\nc\n\n', '', 'd', 'e'])).toEqual(['ab\n', 'c\n', '\n', 'de\n']);
  expect(split([])).toEqual([]);
});

it('a line without an end is given on in parts', () => {
  const half = 'x'.repeat(600_000);
  expect(split([half, half, 'y\n']).map((line) => line.length)).toEqual([1_200_001, 2]);
});
