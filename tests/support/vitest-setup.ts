/** Runs before every file of the system tests. */
import { beforeEach } from 'vitest';
import { dropOldNotes, printNotes } from './failure-notes.ts';

beforeEach(({ onTestFailed }) => {
  dropOldNotes();
  onTestFailed(printNotes);
});
