import { dirname, join } from 'node:path';
import { bracketed } from '../base/identifier.ts';
import { inCode, type OptionRows } from './option-rows.ts';
import { parseCertificateFile, parseText, wholeNumber } from './option-values.ts';
import type { Parse, SectionReader } from './section-reader.ts';

/** What becomes of the events beyond the last ones, which Redis keeps. */
export type TrailConfig = {
  /** Where they are sealed into files. Absent: nowhere. */
  dir?: string;
  /** The key that signs them, PKCS#8 in PEM. Absent: beside the secret of the installation. */
  keyFile?: string;
  /** Days that a file is kept. */
  keep: number;
  syslog?: SyslogTarget;
};

/** Where syslog messages go. `unix`: the path of a socket, which the logger command writes to. */
export type SyslogTarget =
  | { kind: 'udp' | 'tcp'; host: string; port: number }
  | { kind: 'tls'; host: string; port: number; caFile?: string }
  | { kind: 'unix'; path: string };

const KEEP = 400;

/** Of `[trail]`. */
export const trailRows: OptionRows = {
  dir: {
    meaning: 'where [who got what](shared/trail/trail.md) is sealed into files',
    otherwise: 'none: nothing is sealed',
  },
  keep: { meaning: 'days that a file is kept', otherwise: inCode(KEEP) },
  'key-file': {
    meaning: 'the key that signs, PKCS#8 in PEM; a scheduler makes it where it is absent',
    otherwise: '`trail.key` beside the [secret of the installation](shared/base/installation.md)',
  },
  syslog: {
    meaning:
      'besides, where events are sent as RFC 5424: `udp://host`, `tcp://host`, `tls://host`, each with `:port` or not (514, 601, 6514), or `unix:/dev/log`',
    otherwise: 'none',
  },
  'syslog-ca-file': {
    meaning: "with `tls://`: PEM of the authorities of the server's certificate, in place of the system's",
    otherwise: "the system's",
  },
};

/** `[trail]`; off where it is absent. */
export function parseTrail(section: SectionReader): TrailConfig {
  const dir = section.one('dir', parseText);
  const keep = section.one('keep', wholeNumber(1, 36_500));
  const keyFile = section.one('key-file', parseText);
  const target = section.one('syslog', parseTarget);
  const caFile = section.one('syslog-ca-file', parseCertificateFile);
  section.finish();
  if (keep !== undefined && dir === undefined) section.fail('needs dir beside it', 'keep');
  if (keyFile !== undefined && dir === undefined) section.fail('needs dir beside it', 'key-file');
  if (caFile !== undefined && target?.kind !== 'tls')
    section.fail('needs syslog = tls://… beside it', 'syslog-ca-file');
  const syslog = target?.kind === 'tls' && caFile !== undefined ? { ...target, caFile } : target;
  return {
    keep: keep ?? KEEP,
    ...(dir !== undefined && { dir }),
    ...(keyFile !== undefined && { keyFile }),
    ...(syslog && { syslog }),
  };
}

/** The key that signs the trail lies beside the secret of the installation, if nothing else is said. */
export const trailKeyFile = ({ trail, secretFile }: { trail: TrailConfig; secretFile: string }): string =>
  trail.keyFile ?? join(dirname(secretFile), 'trail.key');

/** RFC 5426, RFC 6587 and RFC 5425; their usual ports. */
const ports = { udp: 514, tcp: 601, tls: 6514 };

const parseTarget: Parse<SyslogTarget> = (text, fail) => {
  const [, path] = /^unix:(\/.+)$/.exec(text) ?? [];
  if (path !== undefined) return { kind: 'unix', path };
  const [, scheme = '', rest = ''] = /^(udp|tcp|tls):(\/\/[^/?#]+)$/.exec(text) ?? [];
  const url = URL.parse(`http:${rest}`); // which knows where a host ends and what a port is
  const isHost = url !== null && url.hostname !== '' && url.username === '' && url.password === '';
  if (!isHost)
    return fail('is none of udp://host, tcp://host, tls://host, each with :port or not, and unix:/path');
  const kind = scheme as keyof typeof ports;
  const port = /:80$/.test(rest) ? 80 : Number(url.port || ports[kind]);
  return { kind, host: url.hostname.replace(/^\[|\]$/g, ''), port };
};

/** What becomes of the events, in a line for people; `undefined` where nothing is said of them. */
export function describeTrail(config: { trail: TrailConfig; secretFile: string }): string | undefined {
  const { dir, keep, syslog } = config.trail;
  const sealed = dir && `sealed into ${dir}, kept for ${keep} days, signed by ${trailKeyFile(config)}`;
  const sent = syslog && `sent to ${describeTarget(syslog)}`;
  const all = [sealed, sent].filter(Boolean);
  return all.length > 0 ? all.join('; ') : undefined;
}

const describeTarget = (target: SyslogTarget) =>
  target.kind === 'unix'
    ? `unix:${target.path}`
    : `${target.kind}://${bracketed(target.host)}:${target.port}`;
