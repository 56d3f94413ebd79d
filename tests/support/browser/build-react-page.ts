/** Builds tests/pages/react with Vite, with the React hook exactly as the guide has it. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'vite';
import { REACT_SAMPLE } from '../guides/guide-samples.ts';
import { ROOT } from '../repository.ts';

const PAGE = join(ROOT, 'tests/pages/react');
const HOOK = 'virtual:guide-hook.ts';

/** The folder of the finished page; the caller removes it. */
export async function buildReactPage(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'message-push-page-'));
  await build({
    root: PAGE,
    configFile: false,
    logLevel: 'error',
    // The hook is a virtual file and has no folder from which React could be resolved.
    resolve: { dedupe: ['react', 'react-dom'] },
    build: { outDir: folder, emptyOutDir: true, minify: false, reportCompressedSize: false },
    plugins: [
      {
        name: 'guide-hook',
        enforce: 'pre',
        resolveId: (id) => (id === HOOK ? id : undefined),
        load: (id) => (id === HOOK ? { code: REACT_SAMPLE, moduleType: 'ts' } : undefined),
      },
    ],
  });
  return folder;
}
