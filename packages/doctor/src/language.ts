/** The language of the output. */

export type Language = 'en' | 'zh';

export function isLanguage(text: string): text is Language {
  return text === 'en' || text === 'zh';
}

/** Chooses like the C library: by the first of the three variables that is set. */
export function languageOf(env: Readonly<Record<string, string | undefined>>): Language {
  const locale = env['LC_ALL'] || env['LC_MESSAGES'] || env['LANG'] || '';
  return locale.toLowerCase().startsWith('zh') ? 'zh' : 'en';
}
