import { describe, expect, it } from 'vitest';
import { parseRoute, roomOf, safeThen, signInPath, walletPath } from './route';

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

describe('safeThen', () => {
  it.each([
    ['/studio/keys?new=1', '/studio/keys?new=1'],
    ['/@barrage#chat', '/@barrage#chat'],
    ['/', '/'],
  ])('%s is a page of ours', (then, path) => {
    expect(safeThen(then)).toBe(path);
  });

  it.each([
    [null],
    [''],
    ['studio'],
    ['//evil.example/studio'],
    ['/\\evil.example/studio'],
    ['/\t/evil.example/studio'],
    ['/studio\n'],
    ['https://evil.example/studio'],
    ['javascript:alert(1)'],
    ['/..//evil.example'],
    ['/api/v1/account'],
    ['/sign-in?then=/studio'],
    ['/sign-up'],
    ['/recover'],
  ])('%j leads home', (then) => {
    expect(safeThen(then)).toBe('/');
  });

  it('reads what signInPath wrote', () => {
    const path = signInPath('/studio/keys?a=b&c=%20');
    expect(safeThen(new URL(path, 'http://a').searchParams.get('then'))).toBe('/studio/keys?a=b&c=%20');
    expect(signInPath('/')).toBe('/sign-in');
  });
});

it('leads back from the wallet to the room that one came from, and to nothing else', () => {
  expect(roomOf(new URL(walletPath('stage'), 'http://here').searchParams.get('then'))).toBe('stage');
  expect(walletPath(null)).toBe('/wallet');
  for (const then of [null, '/', '/studio', '//elsewhere.invalid/@stage', 'https://elsewhere.invalid/@stage']) expect(roomOf(then)).toBeNull();
});
