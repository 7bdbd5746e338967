//! Which language a visitor reads. Pure.

export const LANGUAGES = ['en', 'zh-CN'] as const;
export type Language = (typeof LANGUAGES)[number];

/** The first candidate we speak: the address, then the remembered choice, then the browser's list. */
export function chooseLanguage(
  query: string | null,
  remembered: string | null,
  preferred: readonly string[],
): Language {
  for (const candidate of [query, remembered, ...preferred]) {
    const language = candidate === null ? null : spoken(candidate);
    if (language) return language;
  }
  return 'en';
}

function spoken(tag: string): Language | null {
  const lower = tag.toLowerCase();
  if (lower === 'zh' || lower.startsWith('zh-')) return 'zh-CN';
  if (lower === 'en' || lower.startsWith('en-')) return 'en';
  return null;
}

export function otherLanguage(language: Language): Language {
  return language === 'en' ? 'zh-CN' : 'en';
}
