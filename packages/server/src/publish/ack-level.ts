/** The level of acknowledgement that a publish asks for: by its message, else by its request, else the default. */
import { shownValue, validationFailed } from '../core/errors.ts';
import { ACK_LEVELS, type AckLevel } from '../core/message.ts';

/** What keeps a publish from asking for `level`, of which the engine gives `offered`. */
export function ackProblem(level: string, offered: readonly AckLevel[]): string | undefined {
  const known = ACK_LEVELS.find((name) => name === level);
  if (known === undefined) return `must be one of ${ACK_LEVELS.join(', ')}`;
  if (offered.includes(known)) return undefined;
  return `must be ${offered.join(' or ')}: ${known} needs MESSAGE_QUEUE_TYPE=redis`;
}

/** `text` as the query gives it; throws `validation_failed` when it is no level, or none of this engine's. */
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
