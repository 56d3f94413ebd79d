/** Parts of URLs that several routes share. */
import { channelNameProblem, channelOfQueryName, nameProblem } from '@message-push/protocol';
import Type from 'typebox';
import { VIEW_SCOPES } from '../../../core/directory.ts';
import { shownValue, validationFailed } from '../../../core/errors.ts';

export const channelParams = Type.Object({
  channel: Type.String({
    description:
      'Channel name, percent-encoded: `user:7`, `kb:a%2Fb`, `broadcast`. A name without a known prefix is `channel:NAME`.',
    examples: ['user:123'],
  }),
});

export function limitSchema(defaultLimit: number, maxLimit: number): ReturnType<typeof Type.Integer> {
  return Type.Integer({ minimum: 1, maximum: maxLimit, default: defaultLimit });
}

export const scopeSchema = Type.Enum([...VIEW_SCOPES], {
  type: 'string',
  default: 'cluster',
  description:
    'Whose streams to show: those of the node that answers, or of all nodes on the same Redis. With a single process both are the same.',
});

/** The channel that a URL names. Throws `validation_failed` if the name is not valid. */
export function channelOfPath(name: string): string {
  const channel = channelOfQueryName(name);
  const problem = channelNameProblem(channel);
  if (problem === undefined) return channel;
  throw validationFailed([{ field: 'path.channel', problem, value: shownValue(name) }]);
}

/** Throws `validation_failed` if a name in a URL is not valid. */
export function checkName(field: string, name: string | undefined): void {
  const problem = name === undefined || name === '' ? undefined : nameProblem(name);
  if (problem !== undefined) throw validationFailed([{ field, problem, value: shownValue(name) }]);
}
