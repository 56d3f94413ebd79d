/**
 * The result of an examination: findings, and the checks that were made. Values only; texts are in
 * `finding-catalog.ts`.
 */
import type { FindingCode } from './finding-catalog.ts';

/** Observed values, by the names of the placeholders in the text of the finding. */
export type Seen = Readonly<Record<string, string | number>>;

export interface Finding {
  readonly code: FindingCode;
  readonly seen: Seen;
}

/** All checks, in the order of the report. */
export const CHECK_NAMES = [
  'reach',
  'transport',
  'stream',
  'headers',
  'pace',
  'echo',
  'resume',
  'request_size',
  'cors',
  'clock',
  'health',
  'exposure',
  'machine',
] as const;
export type CheckName = (typeof CHECK_NAMES)[number];

/** Reasons for which a check could not be made. */
export type SkipReason =
  | 'no_stream'
  | 'no_origin'
  | 'same_origin'
  | 'may_not_publish'
  | 'own_machine_only'
  | 'not_public'
  | 'process_not_found'
  | 'process_not_readable';

export interface CheckOutcome {
  readonly name: CheckName;
  readonly skipped?: SkipReason;
  readonly findings: readonly Finding[];
}

export interface Report {
  readonly url: string;
  /** URL to which redirects led. */
  readonly base: string;
  readonly protocol: string | undefined;
  readonly seconds: number;
  readonly checks: readonly CheckOutcome[];
}

/** The outcome of a check that was made. */
export function made(name: CheckName, findings: readonly (Finding | undefined)[]): CheckOutcome {
  return { name, findings: findings.filter((finding) => finding !== undefined) };
}

export function skipped(name: CheckName, reason: SkipReason): CheckOutcome {
  return { name, skipped: reason, findings: [] };
}
