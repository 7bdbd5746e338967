import { expect, it } from 'vitest';
import { iceServersOf } from './ice-servers';

it('servers are told with the name and password that are good there', () => {
  const header =
    '<stun:stun.example.org>; rel="ice-server", <turn:turn.example.org:3478?transport=udp>; rel="ice-server"; ' +
    'username="1000600:ab"; credential="a+/b="; credential-type="password"';
  expect(iceServersOf(header)).toEqual([
    { urls: 'stun:stun.example.org' },
    { urls: 'turn:turn.example.org:3478?transport=udp', username: '1000600:ab', credential: 'a+/b=' },
  ]);
});

it('other links are no servers', () => {
  expect(iceServersOf(null)).toEqual([]);
  expect(iceServersOf('<https://example.org/>; rel="next", <turn:a>; rel="other"')).toEqual([]);
});
