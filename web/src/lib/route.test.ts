import { describe, expect, it } from 'vitest';
import { parseRoute } from './route';

describe('parseRoute', () => {
  it.each([
    ['/', { page: 'home' }],
    ['/@barrage', { page: 'room', handle: 'barrage' }],
    ['/@Barrage/', { page: 'room', handle: 'barrage' }],
    ['/@ab', { page: 'not-found', path: '/@ab' }],
    ['/@a-b-c', { page: 'not-found', path: '/@a-b-c' }],
    ['/studio', { page: 'not-found', path: '/studio' }],
  ])('%s', (path, route) => {
    expect(parseRoute(path)).toEqual(route);
  });
});
