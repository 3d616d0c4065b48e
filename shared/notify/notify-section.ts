import type { ProxyEnv } from 'node:http';
import { resolve } from 'node:path';
import { isLoopback } from '../base/identifier.ts';
import { whyNotRunnable } from '../base/run-program.ts';
import type { Environment } from '../config/environment.ts';
import { inCode, type OptionRows } from '../config/option-rows.ts';
import { parseCertificateFile, parseText } from '../config/option-values.ts';
import { readProxy } from '../config/proxy.ts';
import type { Secret } from '../config/secret-file.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import { parseSmtp, type SmtpServer } from './smtp.ts';

/** The kinds of events; `renewal-explained` is a CA's page about its window (RFC 9773 section 4.2). */
export const eventKinds = [
  'renewal-failed',
  'expires-soon',
  'renewed-not-fetched',
  'renewal-explained',
  'account-paused',
  'trail-unsealed',
  'storage-failed',
] as const;
export type EventKind = (typeof eventKinds)[number];

/** A receiver, its events, and the way to it. Files are read each time, so that they can be exchanged. */
export type NotifyConfig = { name: string; kinds: EventKind[] } & (
  | WebhookConfig
  | CommandConfig
  | MailConfig
);

/** The URL is a secret: at some services, knowing it is enough to post there. */
export type WebhookConfig = {
  type: 'webhook';
  url: string;
  hmacKey?: Secret;
  caFile?: string;
  /** What leads to it, and the hosts that need none; may hold a password. */
  proxy?: ProxyEnv;
};
/** `command` is absolute, `folder` where it runs. */
type CommandConfig = { type: 'command'; command: string; folder: string };
export type MailConfig = {
  type: 'mail';
  to: string[];
  from: string;
  smtp: SmtpServer;
  login?: { user: string; password: Secret };
  caFile?: string;
};

/** Of `[notify "name"]`. */
export const notifyRows: OptionRows = {
  on: {
    meaning: `which events: ${eventKinds.map(inCode).join(', ')}, several as \`expires-soon, storage-failed\``,
    otherwise: 'all',
  },
  url: {
    meaning:
      'posts [notifications](services/docs/operation.md#notifications) to this webhook, https. A block has one of `url`, `command` and `mail`',
    otherwise: 'needed',
  },
  command: {
    meaning: 'runs this program; a relative path starts at the folder of the file',
    otherwise: 'needed',
  },
  mail: { meaning: 'sends mail to this address', otherwise: 'needed' },
  hmac_key: { meaning: 'with `url`: signs the posts', otherwise: 'not signed' },
  smtp: {
    meaning:
      'with `mail`: `smtp://host:port` (25; TLS as soon as it is offered, but on this host) or `smtps://host:port` (465)',
    otherwise: 'needed',
  },
  from: { meaning: "with `mail`: the sender's address", otherwise: 'needed' },
  'smtp-user': { meaning: 'with `mail`: the login, sent only over TLS or to this host', otherwise: 'none' },
  'smtp-password': { meaning: 'its password', otherwise: 'none' },
  'ca-file': {
    meaning:
      "with `url` or `mail`: PEM of the authorities that the server's certificate is checked with, in place of the system's",
    otherwise: "the system's",
  },
};

/** `[notify "name"]`; a webhook is posted to through the environment's proxy. */
export function parseNotify(section: SectionReader, env: Environment): NotifyConfig {
  const named = section.many('on', parseKinds).flat();
  const url = section.secret('url', parseUrl);
  const command = section.one('command', commandOf(section.folder));
  const to = section.many('mail', parseAddress);
  const ways = [url !== undefined && 'url', command !== undefined && 'command', to.length > 0 && 'mail'];
  const [way, another] = ways.filter(one => one !== false);
  if (way === undefined) return section.fail('notifies nobody: give url, command or mail');
  if (another !== undefined)
    return section.fail(`has ${way} beside it; each needs a section of its own`, another);
  const kinds = named.length > 0 ? [...new Set(named)] : [...eventKinds];
  const rest =
    url !== undefined
      ? parseWebhook(section, url, env)
      : command !== undefined
        ? command
        : parseMail(section, to);
  section.finish();
  return { name: section.label, kinds, ...rest };
}

/** For people; only the host of a URL, as the rest may hold a token. */
export function describeWay(block: NotifyConfig): string {
  switch (block.type) {
    case 'webhook':
      return `${block.hmacKey ? 'signed' : 'unsigned'} posts to ${new URL(block.url).host}`;
    case 'command':
      return `runs ${block.command}`;
    case 'mail':
      return `mail to ${block.to.join(', ')} over ${block.smtp.host}:${block.smtp.port}`;
  }
}

function parseWebhook(section: SectionReader, url: string, env: Environment): WebhookConfig {
  const proxy = readProxy(env);
  const hmacKey = section.secretOrFile('hmac_key', parseText);
  const caFile = section.one('ca-file', parseCertificateFile);
  const authorities = caFile !== undefined && { caFile };
  return { type: 'webhook', url, ...(hmacKey && { hmacKey }), ...authorities, ...(proxy && { proxy }) };
}

function parseMail(section: SectionReader, to: string[]): MailConfig {
  const smtp = section.one('smtp', parseSmtp);
  const from = section.one('from', parseAddress);
  const user = section.one('smtp-user', parseText);
  const password = section.secretOrFile('smtp-password', parseText);
  const caFile = section.one('ca-file', parseCertificateFile);
  if (smtp === undefined) return section.fail('is missing; mail needs it', 'smtp');
  if (from === undefined) return section.fail('is missing; mail needs it', 'from');
  if (user === undefined && password !== undefined)
    section.fail('needs smtp-user beside it', 'smtp-password');
  if (user !== undefined && password === undefined)
    section.fail('needs smtp-password-file beside it', 'smtp-user');
  return {
    type: 'mail',
    to,
    from,
    smtp,
    ...(user !== undefined && password !== undefined && { login: { user, password } }),
    ...(caFile !== undefined && { caFile }),
  };
}

const parseKinds: Parse<EventKind[]> = (text, fail) =>
  text.split(',').map(word => {
    const kind = eventKinds.find(one => one === word.trim());
    return kind ?? fail(`unknown event; known: ${eventKinds.join(', ')}`);
  });

/** The reasons never repeat the URL, which may hold a token. */
const parseUrl: Parse<string> = (text, fail) => {
  const url = URL.parse(text);
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') return fail('is not an https:// URL');
  if (url.username || url.password)
    return fail('must not hold a user or a password; sign with hmac_key instead');
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    return fail('must be https:// (http:// only for this host itself)');
  }
  return text;
};

/** A relative path is one from the folder of the file that names it, not from where Quarry was started. */
function commandOf(folder: string): Parse<CommandConfig> {
  return (text, fail) => {
    if (text === '') return fail('is empty');
    const command = resolve(folder, text);
    const reason = whyNotRunnable(command);
    if (reason) fail(`${command} cannot be run: ${reason}`);
    return { type: 'command', command, folder };
  };
}

/** An address alone: no display name, nothing that could end a header or add a recipient. */
const parseAddress: Parse<string> = (text, fail) =>
  /^[^\s@,;:<>"()[\]\\]+@[^\s@,;:<>"()[\]\\]+$/.test(text)
    ? text
    : fail('is not an address such as ops@example.org');
