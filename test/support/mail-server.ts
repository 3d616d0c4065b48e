import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { tlsAuthority } from './tls-authority.ts';

export type Mail = { from: string; to: string[]; secure: boolean; user: string | undefined; text: string };

export type MailServer = AsyncDisposable & {
  port: number;
  /** All that it took. */
  mails: Mail[];
  /** Passwords that it was shown. */
  shown: string[];
};

export type MailServerOptions = {
  /** `first`: from the first byte on; `offered`: by STARTTLS. */
  tls?: 'first' | 'offered' | 'none';
  /** Whom it lets in, and then nobody else. */
  login?: { user: string; password: string };
  /** What it says to a wrong login. */
  answer?: Error;
  /** Recipients that it does not know. */
  unknown?: string[];
};

/** A mail server on loopback. */
export async function startMailServer({
  tls = 'none',
  login,
  answer = new Error('wrong password'),
  unknown = [],
}: MailServerOptions = {}): Promise<MailServer> {
  const { certFile, keyFile } = await tlsAuthority();
  const mails: Mail[] = [];
  const shown: string[] = [];
  const server = new SMTPServer({
    ...{ secure: tls === 'first', cert: await readFile(certFile), key: await readFile(keyFile) },
    ...{ authOptional: login === undefined, allowInsecureAuth: true, closeTimeout: 100, logger: false },
    disabledCommands: [...(tls === 'offered' ? [] : ['STARTTLS']), ...(login ? [] : ['AUTH'])],
    onAuth({ username, password }, _, callback) {
      shown.push(password ?? '');
      if (username === login?.user && password === login?.password) callback(null, { user: username });
      else callback(answer);
    },
    onRcptTo: ({ address }, _, callback) =>
      callback(
        unknown.includes(address) ? Object.assign(new Error('no such user'), { responseCode: 550 }) : null,
      ),
    onData(stream, { envelope, secure, user }, callback) {
      const parts: Buffer[] = [];
      stream.on('data', (part: Buffer) => parts.push(part));
      stream.on('end', () => {
        const from = envelope.mailFrom === false ? '' : envelope.mailFrom.address;
        const to = envelope.rcptTo.map(({ address }) => address);
        mails.push({
          from,
          to,
          secure,
          user: user as string | undefined,
          text: Buffer.concat(parts).toString(),
        });
        callback(null);
      });
    },
  });
  server.on('error', () => {}); // clients that leave
  const listening = server.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  return {
    ...{ port: (listening.address() as AddressInfo).port, mails, shown },
    [Symbol.asyncDispose]: () => new Promise<void>(resolve => server.close(resolve)),
  };
}

/** A header of a mail, unfolded. */
export function headerOf({ text }: Mail, name: string): string | undefined {
  const head = text.slice(0, text.indexOf('\r\n\r\n')).replace(/\r\n[ \t]+/g, ' ');
  return new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1]?.trim();
}
