//! The configuration in force, as rows that can be read and searched. Pure.

export interface Setting {
  /** As barrage.example.toml names it: "hls.part_ms". */
  path: string;
  value: string;
  /** Nothing is set. */
  empty: boolean;
}

export interface Group {
  /** The table it stands in; empty for what stands in none. */
  name: string;
  settings: Setting[];
}

export function settingsOf(config: unknown): Setting[] {
  return flatten(config, '');
}

function flatten(value: unknown, path: string): Setting[] {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return Object.entries(value).flatMap(([key, inner]) => flatten(inner, path === '' ? key : `${path}.${key}`));
  }
  const list = Array.isArray(value);
  return [{ path, value: list ? value.map(written).join(', ') : written(value), empty: value === null || value === '' || (list && value.length === 0) }];
}

function written(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Those in whose name or value every word of `search` stands. */
export function matching(settings: readonly Setting[], search: string): Setting[] {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== '');
  return settings.filter(({ path, value }) => {
    const text = `${path} ${value}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** By the first part of their names; what stands in no table comes first. */
export function grouped(settings: readonly Setting[]): Group[] {
  const groups = new Map<string, Setting[]>();
  for (const setting of settings) {
    const dot = setting.path.indexOf('.');
    const name = dot < 0 ? '' : setting.path.slice(0, dot);
    groups.set(name, [...(groups.get(name) ?? []), setting]);
  }
  return [...groups].map(([name, inner]) => ({ name, settings: inner })).sort((a, b) => a.name.localeCompare(b.name, 'en'));
}
