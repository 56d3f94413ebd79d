/** The samples of the guide, byte for byte: the fenced blocks of tests/pages/guide-samples.zh.md. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../repository.ts';

const GUIDE = readFileSync(join(ROOT, 'tests/pages/guide-samples.zh.md'), 'utf8');

/** The code under the heading. */
function sampleUnder(heading: string, language: string): string {
  const section = GUIDE.split(`### ${heading}\n`)[1];
  const code = section?.split(`\`\`\`${language}\n`)[1]?.split('```')[0];
  if (code === undefined) throw new Error(`the guide has no ${language} sample under "${heading}"`);
  return code;
}

export const BROWSER_SAMPLE = sampleUnder('JavaScript客户端', 'javascript');
export const PUBLISHER_SAMPLE = sampleUnder('服务端发送消息', 'python');
export const INTEGRATION_SAMPLE = sampleUnder('与知识库服务集成', 'python');
export const REACT_SAMPLE = sampleUnder('前端React Hook集成', 'typescript');

/** The address that the samples name. */
export const GUIDE_ADDRESS = 'localhost:8089';
