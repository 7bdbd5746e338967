// A mail server that keeps what it is sent, for somebody who may send: `barrage` with `a secret`.

import { once } from 'node:events';
import { SMTPServer } from 'smtp-server';

export async function openMailbox() {
  const mails = [];
  const server = new SMTPServer({
    disabledCommands: ['STARTTLS'],
    allowInsecureAuth: true,
    onAuth({ username, password }, _, done) {
      if (username === 'barrage' && password === 'a secret') done(null, { user: username });
      else done(new Error('who is that?'));
    },
    onData(stream, { envelope }, done) {
      let raw = '';
      stream.on('data', (bytes) => (raw += bytes.toString('latin1')));
      stream.on('end', () => {
        mails.push({ to: envelope.rcptTo.map(({ address }) => address), ...read(raw) });
        done();
      });
    },
  });
  server.on('error', (error) => mails.push({ error: error.message }));
  server.listen(0, '127.0.0.1');
  await once(server.server, 'listening');
  const { port } = server.server.address();
  return {
    url: `smtp://barrage:a%20secret@127.0.0.1:${port}`,
    mails,
    close: () => new Promise((done) => server.close(done)),
  };
}

/** Subject and text of a mail of one part. */
function read(raw) {
  const [head, ...rest] = raw.split('\r\n\r\n');
  const body = rest.join('\r\n\r\n');
  const header = (name) => new RegExp(`^${name}: (.*(?:\r\n[ \t].*)*)`, 'im').exec(head)?.[1].replace(/\r\n[ \t]/g, ' ');
  const encoding = header('content-transfer-encoding')?.toLowerCase();
  const bytes =
    encoding === 'base64'
      ? Buffer.from(body, 'base64')
      : Buffer.from(encoding === 'quoted-printable' ? unquote(body) : body, 'latin1');
  return { from: header('from'), subject: words(header('subject')), text: bytes.toString('utf8') };
}

/** RFC 2045 §6.7. */
const unquote = (text) =>
  text.replace(/=\r\n/g, '').replace(/=([0-9A-F]{2})/g, (_, code) => String.fromCharCode(parseInt(code, 16)));

/** RFC 2047 words in base64. */
const words = (text) =>
  text.replace(/\?= =\?/g, '?==?').replace(/=\?utf-8\?b\?([^?]*)\?=/gi, (_, coded) => Buffer.from(coded, 'base64').toString('utf8'));
