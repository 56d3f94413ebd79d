/** What is printed when a test fails: the end of the output of every process that the test used. */

interface Note {
  readonly name: string;
  readonly text: () => string;
  isOver: boolean;
}

const SHOWN_LINES = 30;
const notes = new Set<Note>();

/** Prints the end of `text` with every test that fails, until the test in which the returned function is called. */
export function noteForFailures(name: string, text: () => string): () => void {
  const note: Note = { name, text, isOver: false };
  notes.add(note);
  return () => {
    note.isOver = true;
  };
}

/** Drops the notes that ended before the test that begins now. */
export function dropOldNotes(): void {
  for (const note of notes) if (note.isOver) notes.delete(note);
}

export function printNotes(): void {
  for (const { name, text } of notes) {
    const lines = text().trimEnd().split('\n').slice(-SHOWN_LINES).join('\n');
    console.error(`${name} wrote ${lines === '' ? 'nothing' : `at the end:\n${lines}`}`);
  }
}
