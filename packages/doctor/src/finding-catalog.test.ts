import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FINDINGS, type FindingCode } from './finding-catalog.ts';

const codes = Object.keys(FINDINGS) as FindingCode[];
const page = (suffix: string): string =>
  readFileSync(new URL(`../../../docs/production/troubleshooting${suffix}`, import.meta.url), 'utf8');
const placeholders = (text: string): string[] => [...new Set(text.match(/\{\w+\}/g))].sort();

describe.each(codes)('%s', (code) => {
  const { title, text } = FINDINGS[code];

  it('says the same in both languages', () => {
    expect(placeholders(text.zh)).toEqual(placeholders(text.en));
    expect(title.zh).toMatch(/\p{Script=Han}/u);
  });

  it.each(['.md', '.zh.md'])('is explained in troubleshooting%s', (suffix) => {
    expect(page(suffix)).toContain(`\`${code}\``);
  });
});

describe('findings', () => {
  it('name the line to change, all but those in which nothing is to be changed', () => {
    expect(codes.filter((code) => FINDINGS[code].fixes.length === 0)).toEqual(['sent_away']);
  });
});
