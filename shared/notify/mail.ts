import { readFile } from 'node:fs/promises';
import { createTransport } from 'nodemailer';
import type { Log } from '../base/basics.ts';
import { describeError } from '../base/errors.ts';
import { orAborted } from '../base/or-aborted.ts';
import { USER_AGENT } from '../base/version.ts';
import { readSecret } from '../config/secret-file.ts';
import { deliveryId, type Message, toText, toTitle } from './message.ts';
import type { MailConfig } from './notify-section.ts';

/** How long connecting, the greeting, and any later silence may each take, in milliseconds. */
const LONGEST_SILENCE = 15_000;

/**
 * Sends a message as plain text, one mail to all recipients of a block. Mails about one event form a thread,
 * and a mail that is sent twice has the same Message-ID.
 *
 * @throws Error when the server takes it for no recipient; its message never holds the password
 */
export async function sendMail(
  block: MailConfig & { name: string },
  message: Message,
  { log, signal }: { log: Log; signal: AbortSignal },
): Promise<void> {
  signal.throwIfAborted();
  const { name, smtp, login } = block;
  const password = login && readSecret(login.password);
  const transport = await openTransport(block, password);
  try {
    const sending = transport.sendMail(toMail(block, message)); // which takes no signal
    const { rejected } = await orAborted(sending, signal);
    if (rejected.length > 0)
      log.warn({ block: name, rejected }, 'the mail server takes no mail for some recipients');
  } catch (error) {
    signal.throwIfAborted();
    const said = describeError(error);
    throw new Error(`${smtp.host}:${smtp.port}: ${password ? hide(password, said) : said}`);
  } finally {
    transport.close();
  }
}

/** Servers repeat what they were sent: AUTH has the password in base64 (RFC 4616, AUTH PLAIN and LOGIN). */
function hide(password: string, said: string): string {
  const holdsIt = (text: string) => [0, 1, 2, 3].some(at => decode(text.slice(at)).includes(password));
  return said
    .replaceAll(password, '…')
    .replace(/[A-Za-z0-9+/_-]{4,}={0,2}/g, word => (holdsIt(word) ? '…' : word));
}

const decode = (text: string) => Buffer.from(text, 'base64').toString();

async function openTransport({ smtp, login, caFile }: MailConfig, password: string | undefined) {
  const { host, port, tls } = smtp;
  const ca = caFile === undefined ? undefined : await readFile(caFile, 'utf8');
  return createTransport({
    host,
    port,
    secure: tls === 'always',
    ignoreTLS: tls === 'never',
    requireTLS: tls === 'offered' && login !== undefined, // a password never travels in the clear
    ...(login && { auth: { user: login.user, pass: password } }),
    ...(ca && { tls: { ca } }),
    connectionTimeout: LONGEST_SILENCE,
    greetingTimeout: LONGEST_SILENCE,
    socketTimeout: LONGEST_SILENCE,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
}

function toMail({ name, from, to }: MailConfig & { name: string }, message: Message) {
  const domain = from.slice(from.lastIndexOf('@') + 1);
  const thread = `<${message.matter}@${domain}>`;
  return {
    from,
    to,
    date: new Date(message.at),
    subject: `Quarry: ${toTitle(message)}`,
    text: toText(message),
    messageId: `<${deliveryId(message, name)}@${domain}>`,
    inReplyTo: thread,
    references: thread,
    headers: { 'Auto-Submitted': 'auto-generated' }, // RFC 3834: no out-of-office answer comes back
    xMailer: USER_AGENT,
  };
}
