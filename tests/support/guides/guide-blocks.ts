/** The fenced blocks of a guide, by language, in order. */
export function blocksOf(markdown: string, language: string): string[] {
  const fences = new RegExp(`^ *\`\`\`${language}\\n([\\s\\S]*?)^ *\`\`\`$`, 'gm');
  return [...markdown.matchAll(fences)].map(([, body = '']) => body);
}

const SETTING = /^[A-Z_]+=/;

export interface ShellLine {
  readonly kind: 'command' | 'setting' | 'redis';
  readonly text: string;
}

/** The lines of a shell block without comments: commands, settings of the service, settings of Redis. */
export function shellLines(block: string): ShellLine[] {
  const lines = block
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const isRedis = lines.some((line) => line.startsWith('maxmemory'));
  return lines.map((text) => ({
    kind: SETTING.test(text) ? 'setting' : isRedis ? 'redis' : 'command',
    text,
  }));
}
