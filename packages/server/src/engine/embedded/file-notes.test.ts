import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FileNotes } from './file-notes.ts';

describe('notes in a file', () => {
  let folder: string;
  let path: string;
  const opened: FileNotes[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'notes-'));
    path = join(folder, 'data', 'notes.jsonl');
  });
  afterEach(() => {
    for (const notes of opened.splice(0)) notes.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Keeps what `isKept`. */
  async function openNotes(isKept = (_note: string) => true): Promise<{ notes: FileNotes; seen: string[] }> {
    const notes = new FileNotes(path);
    opened.push(notes);
    const seen: string[] = [];
    await notes.open({ keepMs: 1000, onNote: (note) => seen.push(note), known: () => seen.filter(isKept) });
    return { notes, seen };
  }

  test('are there again after a restart, in their order', async () => {
    const { notes } = await openNotes();
    await Promise.all(['a', 'b', 'c'].map((note) => notes.add(note)));
    expect((await openNotes()).seen).toEqual(['a', 'b', 'c']);
  });

  test('that have had their time leave the file at the start', async () => {
    const { notes } = await openNotes();
    await notes.add('old');
    await notes.add('new');
    await openNotes((note) => note === 'new');
    expect(readFileSync(path, 'utf8')).toBe('new\n');
  });

  test('that have had their time leave the file when most of it is over', async () => {
    const { notes } = await openNotes(() => false);
    for (let i = 0; i < 1001; i++) await notes.add(String(i));
    expect(readFileSync(path, 'utf8')).toBe('');
    await notes.add('later');
    expect(readFileSync(path, 'utf8')).toBe('later\n');
  });

  test('before a torn last line are read', async () => {
    const { notes } = await openNotes();
    await notes.add('{"whole":1}');
    appendFileSync(path, '{"tor');
    expect((await openNotes()).seen[0]).toBe('{"whole":1}');
  });

  test('are not promised when they cannot be written', async () => {
    const { notes } = await openNotes();
    notes.close();
    await expect(notes.add('x')).rejects.toMatchObject({ code: 'engine_unavailable' });
  });
});
