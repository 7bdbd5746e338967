//! What a browser calls itself, as people call it. Pure.

export interface Agent {
  browser: string;
  system: string;
}

/** In this order: most browsers claim to be the ones below them too. */
const BROWSERS: readonly [RegExp, string][] = [
  [/\bEdg(?:A|iOS)?\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\bMicroMessenger\//, 'WeChat'],
  [/\bQQBrowser\//, 'QQ Browser'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\b(?:Firefox|FxiOS)\//, 'Firefox'],
  [/\b(?:Headless)?(?:Chrome|CriOS)\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
];

const SYSTEMS: readonly [RegExp, string][] = [
  [/\biPhone\b/, 'iPhone'],
  [/\biPad\b/, 'iPad'],
  [/\bAndroid\b/, 'Android'],
  [/\bHarmonyOS\b/, 'HarmonyOS'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b/, 'macOS'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b/, 'Linux'],
];

/** Null for what is no browser that we know. */
export function parseAgent(text: string): Agent | null {
  const named = (table: readonly [RegExp, string][]): string | undefined => table.find(([sign]) => sign.test(text))?.[1];
  const browser = named(BROWSERS);
  const system = named(SYSTEMS);
  return browser !== undefined && system !== undefined ? { browser, system } : null;
}
