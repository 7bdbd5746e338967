import { describe, expect, it } from 'vitest';
import { parseRoute } from './route';

describe('parseRoute', () => {
  it.each([
    ['/', { page: 'home' }],
    ['/@barrage', { page: 'room', handle: 'barrage' }],
    ['/@Barrage/', { page: 'room', handle: 'barrage' }],
    ['/@ab', { page: 'not-found', path: '/@ab' }],
    ['/@a-b-c', { page: 'not-found', path: '/@a-b-c' }],
    ['/studio', { page: 'studio', section: '' }],
    ['/studio/keys/', { page: 'studio', section: 'keys' }],
    ['/admin/users', { page: 'admin', section: 'users' }],
    ['/studios', { page: 'not-found', path: '/studios' }],
    ['/account/', { page: 'account', section: 'profile' }],
    ['/account/tokens', { page: 'account', section: 'tokens' }],
    ['/account/else', { page: 'not-found', path: '/account/else' }],
  ])('%s', (path, route) => {
    expect(parseRoute(path)).toEqual(route);
  });
});
