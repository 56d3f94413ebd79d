/** Routing: finds the channels that a target names. */
import {
  MAX_CHANNEL_NAME_BYTES,
  nameProblem,
  TARGET_PREFIXES,
  type TargetField,
} from '@message-push/protocol';
import type { FieldProblem } from '../core/errors.ts';
import type { Target } from './message-schema.ts';

const FIELDS = Object.keys(TARGET_PREFIXES) as TargetField[];

/** The channels in the order of `TARGET_PREFIXES`, which decides on which of them a stream shows the message. */
export function channelsOfTarget(target: Target): string[] {
  const channels: string[] = [];
  for (const field of FIELDS) {
    const name = target[field];
    if (name !== undefined) channels.push(`${TARGET_PREFIXES[field]}:${name}`);
  }
  return channels;
}

/** Names in `target` that cannot be part of a channel name, by the field of the target. */
export function targetProblems(target: Readonly<Record<string, unknown>>): FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const field of FIELDS) {
    const name = target[field];
    if (typeof name !== 'string') continue;
    const problem = nameProblem(name, MAX_CHANNEL_NAME_BYTES - TARGET_PREFIXES[field].length - 1);
    if (problem !== undefined) problems.push({ field, problem });
  }
  return problems;
}
