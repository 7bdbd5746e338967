// A TURN server (coturn), as operators put one beside Barrage.

import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { until } from './server.mjs';

/** Gives its address, the secret, and whether it is where a peer seems to be. */
export async function startTurn(secret) {
  const port = await freePort();
  const all = Object.values(networkInterfaces()).flat();
  const ip = all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1';
  const [low, high] = [55_000, 55_999];
  const settings = { 'listening-ip': ip, 'listening-port': port, 'relay-ip': ip, 'min-port': low, 'max-port': high, realm: 'tests', 'static-auth-secret': secret };
  const args = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
  const flags = ['-n', '--use-auth-secret', '--no-cli', '--no-tls', '--no-dtls', '--allow-loopback-peers', '--log-file=stdout', '--pidfile='];
  const child = spawn('turnserver', [...flags, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
  const over = new Promise((resolve) => child.once('close', resolve));
  await until('the TURN server', () => said.includes('listener opened on') || said.includes('Relay ports initialization done'), 10_000);
  return {
    url: `turn:${ip}:${port}?transport=udp`,
    secret,
    relays: (peer) => {
      const [, host, at] = /^udp (\S+):(\d+)$/.exec(peer) ?? [];
      return host === ip && Number(at) >= low && Number(at) <= high;
    },
    async stop() {
      child.kill();
      await over;
    },
  };
}

function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
