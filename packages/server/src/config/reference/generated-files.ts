/** The files that are generated from the schema, by their paths from the root of the repository. */
import { exampleText, referenceText } from './reference.ts';

export function generatedFiles(): ReadonlyMap<string, string> {
  return new Map([
    ['docs/reference/configuration.md', referenceText()],
    ['config/development.env.example', exampleText('development')],
    ['config/production.env.example', exampleText('production')],
  ]);
}
