/** Runs the built doctor as a program and reads its report. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from '../repository.ts';

const ENTRY = join(ROOT, 'packages/doctor/dist/main.js');
const TIMEOUT_MS = 60_000;

interface DoctorFinding {
  readonly code: string;
  readonly severity: string;
  readonly title: string;
  readonly text: string;
  readonly fixes: readonly { readonly where: string; readonly line: string }[];
}

export interface DoctorReport {
  readonly ok: boolean;
  readonly protocol: string | null;
  readonly findings: readonly DoctorFinding[];
  readonly checks: readonly { readonly name: string; readonly outcome: string; readonly reason?: string }[];
}

export interface DoctorRun {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function runDoctor(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<DoctorRun> {
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [ENTRY, ...args],
      { env: { PATH: process.env['PATH'], LANG: 'C.UTF-8', ...env }, timeout: TIMEOUT_MS },
      (error, stdout, stderr) => {
        if (error !== null && typeof error.code !== 'number') reject(error);
        else resolve({ status: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
      },
    );
  });
}

export async function examine(
  args: readonly string[],
): Promise<DoctorRun & { readonly report: DoctorReport }> {
  const run = await runDoctor([...args, '--json']);
  if (run.stdout === '') throw new Error(run.stderr);
  return { ...run, report: JSON.parse(run.stdout) as DoctorReport };
}
