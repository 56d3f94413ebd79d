/** Every process and directory that a run makes, so that none outlives it, however the run ends. */
import type { ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';

const children = new Set<ChildProcess>();
const directories = new Set<string>();

export function track(child: ChildProcess): void {
  children.add(child);
  child.once('exit', () => children.delete(child));
}

/** Returns what removes the directory. */
export function trackDirectory(path: string): () => void {
  directories.add(path);
  return () => {
    rmSync(path, { recursive: true, force: true, maxRetries: 3 });
    directories.delete(path);
  };
}

/** Ends and removes what is left; called when the benchmark exits, where nothing can be awaited. */
export function endTracked(): void {
  for (const child of children) child.kill('SIGKILL');
  for (const path of directories) rmSync(path, { recursive: true, force: true, maxRetries: 3 });
}

/** Asks a child to end, waits, and insists when it does not. */
export async function endChild(child: ChildProcess, graceMs: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await ended;
  clearTimeout(timer);
}
