/** Tracks every process and directory that a run creates, so that none outlives the run, however it ends. */
import type { ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';

const children = new Set<ChildProcess>();
const directories = new Set<string>();

export function track(child: ChildProcess): void {
  children.add(child);
  child.once('exit', () => children.delete(child));
}

/** Returns a function that removes the directory. */
export function trackDirectory(path: string): () => void {
  directories.add(path);
  return () => {
    rmSync(path, { recursive: true, force: true, maxRetries: 3 });
    directories.delete(path);
  };
}

/** Kills and removes what is left. Called when the benchmark exits, where nothing can be awaited. */
export function endTracked(): void {
  for (const child of children) child.kill('SIGKILL');
  for (const path of directories) rmSync(path, { recursive: true, force: true, maxRetries: 3 });
}

/** Asks a child to exit, waits, and kills it if it does not. */
export async function endChild(child: ChildProcess, graceMs: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await ended;
  clearTimeout(timer);
}
