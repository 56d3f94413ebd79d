/** A problem that a rule between settings has found. */
import type { Variable } from '../settings/schema.ts';

export interface Finding {
  readonly variable: Variable;
  readonly problem: string;
  /** The other variable of a rule between two. */
  readonly other?: Variable;
}
