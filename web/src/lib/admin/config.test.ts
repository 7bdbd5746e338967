import { describe, expect, it } from 'vitest';
import { grouped, matching, settingsOf } from './config';

const CONFIG = {
  data_dir: '/var/lib/barrage',
  hls: { part_ms: 200, window_s: 36 },
  http: { listen: '0.0.0.0:8080', metrics_open: false },
  ingest: { caps: { height: 2160 } },
  mail: { url: '' },
  trusted_proxies: [],
  proxy_protocol: ['10.0.0.0/8', '::1'],
};
const paths = (search: string): string[] => matching(settingsOf(CONFIG), search).map(({ path }) => path);

describe('the configuration', () => {
  it('is one row for each setting, by its whole name', () => {
    expect(settingsOf(CONFIG)).toContainEqual({ path: 'ingest.caps.height', value: '2160', empty: false });
    expect(settingsOf(CONFIG)).toContainEqual({ path: 'http.metrics_open', value: 'false', empty: false });
    expect(settingsOf(CONFIG)).toContainEqual({ path: 'proxy_protocol', value: '10.0.0.0/8, ::1', empty: false });
  });

  it('tells what is not set', () => {
    const unset = settingsOf(CONFIG).filter(({ empty }) => empty);
    expect(unset.map(({ path }) => path)).toEqual(['mail.url', 'trusted_proxies']);
  });

  it('is found by name and by value, by every word', () => {
    expect(paths('HLS')).toEqual(['hls.part_ms', 'hls.window_s']);
    expect(paths('8080')).toEqual(['http.listen']);
    expect(paths('hls 36')).toEqual(['hls.window_s']);
    expect(paths('nothing like it')).toEqual([]);
    expect(paths('  ')).toHaveLength(settingsOf(CONFIG).length);
  });

  it('stands in its tables', () => {
    const groups = grouped(settingsOf(CONFIG));
    expect(groups.map(({ name }) => name)).toEqual(['', 'hls', 'http', 'ingest', 'mail']);
    expect(groups[0]?.settings.map(({ path }) => path)).toEqual(['data_dir', 'trusted_proxies', 'proxy_protocol']);
  });
});
