import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { describeError } from '../base/errors.ts';
import { isEveryone } from '../base/identifier.ts';
import { parseCidr } from './cidr.ts';
import { defaultListeners, inWords, type Listener, readListeners } from './listener.ts';
import { inCode, type OptionRows } from './option-rows.ts';
import {
  byteSize,
  parseCertificateFile,
  parseList,
  parseReadableFile,
  parseText,
  wholeNumber,
} from './option-values.ts';
import type { Parse, SectionReader } from './section-reader.ts';

/** The HTTP interface that clients post their CSRs to. */
export type MgmtConfig = {
  listeners: Listener[];
  /** Bytes that a CSR may have. */
  maxSize: number;
  /** Seconds that a plain client is held until its certificate is there. */
  wait: number;
  /** CIDRs of the proxies whose X-Forwarded-For is believed. */
  trustedProxies: string[];
  /** Paths of PEM files. */
  tls?: { certFile: string; keyFile: string };
  /** PEM of the CAs whose certificates clients may show. */
  clientCaFile?: string;
  /** Whether changes of the files are taken over without being told to. */
  reload?: 'watch';
};

/** The blocks that serve where an auth block names none; false where the default is disabled. */
export type Defaults = {
  verification: string | false | undefined;
  storage: string | false | undefined;
  /** In the order of preference; empty where none is named. */
  accounts: string[];
};

/** A hundred names of a hundred characters, a key of 4096 bits and its signature, in PEM. */
const MAX_SIZE = 16 * 1024;

const WAIT = 180;

const LISTENERS = defaultListeners(1313, '127.0.0.1', '::1');

/** Of `[mgmt]`. */
export const mgmtRows: OptionRows = {
  listener: {
    meaning: '`address:port` for clients; IPv6 as `[fe80::1%eth0]:1313`',
    otherwise: inWords(LISTENERS),
  },
  mgmt: { meaning: "the same, as macen's README calls it", otherwise: '' },
  'max-size': {
    meaning: 'largest CSR in bytes, or `4k` (4000), `4KiB` (4096)',
    otherwise: `${inCode(`${MAX_SIZE / 1024}KiB`)}, enough for 100 names`,
  },
  wait: { meaning: 'seconds that a plain client is held', otherwise: inCode(WAIT) },
  'trusted-proxy': {
    meaning:
      'CIDR; `X-Forwarded-For` is read from such peers alone, from the right, addresses with or without a port, and tls-alpn-01 takes any number of their connections',
    otherwise: 'none',
  },
  'secret-file': {
    meaning:
      'the [secret of the installation](shared/base/installation.md), which intakes, workers and schedulers share; made where absent',
    otherwise: '`installation.key` in the `dir` of the first account',
  },
  'tls-cert': {
    meaning:
      'PEM file of a certificate, beside `tls-key`; makes the listeners HTTPS; read again when it changes',
    otherwise: 'none',
  },
  'tls-key': { meaning: 'PEM file of its key', otherwise: 'none' },
  'client-ca': {
    meaning:
      'PEM of the CAs whose [certificates clients may show](shared/admission/client-certificates.md); read again when it changes',
    otherwise: 'none',
  },
  reload: {
    meaning: '`watch`: [changed files are taken over](shared/setup/reload.md) without being told to',
    otherwise: '`on request`',
  },
  'default-verification': {
    meaning: 'for auth blocks that name none; empty or `no`: each block must name its own',
    otherwise: 'the only one defined; else http-01',
  },
  'default-storage': {
    meaning: 'for auth blocks that name none; empty or `no`: each block must name its own',
    otherwise: 'the only one defined; else none',
  },
  'default-account': {
    meaning: 'for auth blocks that name none: [accounts](services/docs/cas.md) in the order of preference',
    otherwise: '`default`, else the only one defined',
  },
};

/**
 * `[mgmt]`, and the defaults for auth blocks, which macen keeps there too.
 *
 * @param references the parsers of the options that name a block
 * @returns besides these the file that holds the secret of the installation, where one is named
 */
export function parseMgmt(
  section: SectionReader,
  references: {
    verification: Parse<string | false>;
    storage: Parse<string | false>;
    account: Parse<string>;
  },
): { mgmt: MgmtConfig; secretFile: string | undefined; defaults: Defaults } {
  // macen's code reads `listener`, its README says `mgmt`.
  const listeners = readListeners(section, ['listener', 'mgmt'], LISTENERS);
  const maxSize = section.one('max-size', byteSize(16 * 1024 ** 2)) ?? MAX_SIZE;
  const wait = section.one('wait', wholeNumber(0, 3600)) ?? WAIT;
  const trustedProxies = section.many('trusted-proxy', parseCidr);
  const secretFile = section.one('secret-file', parseText);
  const tls = {
    certFile: section.one('tls-cert', parseCertificateFile),
    keyFile: section.one('tls-key', parseReadableFile),
  };
  const clientCaFile = section.one('client-ca', parseReadableFile);
  const reload = section.one('reload', parseReload) ?? 'on request';
  const defaults = {
    verification: section.one('default-verification', references.verification),
    storage: section.one('default-storage', references.storage),
    accounts: section.many('default-account', parseList(references.account)).flat(),
  };
  section.finish();
  const everyone = trustedProxies.find(isEveryone);
  if (everyone)
    section.warn(`${everyone} lets every client choose the address it is taken for`, 'trusted-proxy');
  if (clientCaFile !== undefined && tls.certFile === undefined && trustedProxies.length === 0)
    section.fail('needs tls-cert, or a trusted-proxy, as nobody else can show a certificate', 'client-ca');
  const mgmt = {
    ...{ listeners, maxSize, wait, trustedProxies, ...completeTls(section, tls) },
    ...(clientCaFile !== undefined && { clientCaFile }),
    ...(reload === 'watch' && { reload }),
  };
  return { mgmt, secretFile, defaults };
}

const parseReload: Parse<'on request' | 'watch'> = (text, fail) =>
  text === 'watch' || text === 'on request' ? text : fail('is neither watch nor on request');

function completeTls(
  section: SectionReader,
  { certFile, keyFile }: { certFile: string | undefined; keyFile: string | undefined },
): Pick<MgmtConfig, 'tls'> {
  if (certFile === undefined && keyFile === undefined) return {};
  if (keyFile === undefined) return section.fail('needs tls-key beside it', 'tls-cert');
  if (certFile === undefined) return section.fail('needs tls-cert beside it', 'tls-key');
  const key = readFileSync(keyFile);
  try {
    createSecureContext({ cert: readFileSync(certFile), key });
  } catch (error) {
    if (!isPrivateKey(key))
      section.fail(`${keyFile} holds no private key in PEM without a passphrase`, 'tls-key');
    const reason = describeError(error).replace(/^error:.*::/, ''); // OpenSSL's numbers and routines
    section.fail(`${certFile} cannot be used with the tls-key ${keyFile}: ${reason}`, 'tls-cert');
  }
  return { tls: { certFile, keyFile } };
}

function isPrivateKey(pem: Buffer): boolean {
  try {
    createPrivateKey(pem);
    return true;
  } catch {
    return false;
  }
}
