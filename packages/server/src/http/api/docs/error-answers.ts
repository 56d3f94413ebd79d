/** The error answers of a route, for its documentation. */
import Type, { type TSchema } from 'typebox';
import { ERROR_KINDS, type ErrorCode } from '../../../core/errors.ts';

export function errorAnswers(...statuses: readonly number[]): Record<number, TSchema> {
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      Type.Ref('Error#', { description: `\`${codesOf(status).join('`, `')}\`` }),
    ]),
  );
}

function codesOf(status: number): ErrorCode[] {
  const codes = Object.keys(ERROR_KINDS) as ErrorCode[];
  return codes.filter((code) => ERROR_KINDS[code].status === status);
}
