/** Which files of the repository are generated from the schema, by their paths from its root. */
import { exampleText, referenceText } from './reference.ts';

export function generatedFiles(): ReadonlyMap<string, string> {
  return new Map([
    ['docs/reference/configuration.md', referenceText()],
    ['config/development.env.example', exampleText('development')],
    ['config/production.env.example', exampleText('production')],
  ]);
}
