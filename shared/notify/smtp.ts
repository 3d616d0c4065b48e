import { isLoopback } from '../base/identifier.ts';
import type { Parse } from '../config/section-reader.ts';

/**
 * A mail server. `tls`: from the first byte on, as soon as it offers it (STARTTLS), or never, as it is this
 * host.
 */
export type SmtpServer = { host: string; port: number; tls: 'always' | 'offered' | 'never' };

/** `smtp://host`, `smtp://host:587`, `smtps://host`. */
export const parseSmtp: Parse<SmtpServer> = (text, fail) => {
  const [, scheme = '', rest = ''] = /^(smtps?):\/\/(.*)$/i.exec(text) ?? [];
  if (scheme === '') return fail('is neither smtp://host nor smtps://host');
  // A scheme that Node knows, as it tells only of these whether a host is one.
  const url = URL.parse(`http://${rest}`);
  if (!url) return fail('is not a valid URL');
  if (url.username || url.password)
    return fail('must not hold a user or a password; give smtp-user and smtp-password-file');
  if (/[/?#]/.test(rest.replace(/\/$/, ''))) return fail('may have only a port behind its host');
  const secure = scheme.toLowerCase() === 'smtps';
  const port = Number(/:(\d+)\/?$/.exec(rest)?.[1] ?? (secure ? 465 : 25));
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return { host, port, tls: secure ? 'always' : isLoopback(url.hostname) ? 'never' : 'offered' };
};
