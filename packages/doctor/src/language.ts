/** The language of the person at the terminal. */

export type Language = 'en' | 'zh';

export function isLanguage(text: string): text is Language {
  return text === 'en' || text === 'zh';
}

/** As the C library chooses: the first of the three that is set. */
export function languageOf(env: Readonly<Record<string, string | undefined>>): Language {
  const locale = env['LC_ALL'] || env['LC_MESSAGES'] || env['LANG'] || '';
  return locale.toLowerCase().startsWith('zh') ? 'zh' : 'en';
}
