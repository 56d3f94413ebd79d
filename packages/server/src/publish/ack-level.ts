/** The acknowledgement level of a publish: that of its message, else that of its request, else the default. */
import { shownValue, validationFailed } from '../core/errors.ts';
import { ACK_LEVELS, type AckLevel } from '../core/message.ts';

/** What is wrong with asking for `level`, if the engine offers the levels `offered`. */
export function ackProblem(level: string, offered: readonly AckLevel[]): string | undefined {
  const known = ACK_LEVELS.find((name) => name === level);
  if (known === undefined) return `must be one of ${ACK_LEVELS.join(', ')}`;
  if (offered.includes(known)) return undefined;
  return `must be ${offered.join(' or ')}: ${known} needs MESSAGE_QUEUE_TYPE=redis`;
}

/** Reads the `ack` of a query. Throws `validation_failed` if it is not a level, or not one of this engine. */
export function ackOfQuery(
  text: string | undefined,
  fallback: AckLevel,
  offered: readonly AckLevel[],
): AckLevel {
  if (text === undefined) return fallback;
  const problem = ackProblem(text, offered);
  if (problem !== undefined)
    throw validationFailed([{ field: 'query.ack', problem, value: shownValue(text) }]);
  return text as AckLevel;
}
