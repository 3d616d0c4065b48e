import { createSecretKey, type KeyObject } from 'node:crypto';
import { toName } from '../base/identifier.ts';
import { parseDomain } from '../config/domain-name.ts';
import { inCode, type OptionRows } from '../config/option-rows.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import type { TsigAlgorithm, TsigKey } from '../dns/tsig.ts';

const algorithms = ['hmac-sha256', 'hmac-sha384', 'hmac-sha512'] as const satisfies TsigAlgorithm[];

/** What a key is made of; one text may hold all of it. */
type KeyParts = { name?: string; algorithm?: TsigAlgorithm; secret: KeyObject };

const ALGORITHM = 'hmac-sha256';

/** Of `[verification]`. */
export const tsigRows: OptionRows = {
  'tsig-name': { meaning: 'what both sides call the key', otherwise: 'as in the key file' },
  'tsig-algorithm': {
    meaning: algorithms.map(inCode).join(', '),
    otherwise: `as in the key file; else ${inCode(ALGORITHM)}`,
  },
  'tsig-secret': {
    meaning:
      "base64. Its file holds the secret alone, or is the one that `tsig-keygen` prints; the path starts at the configuration file's folder, and every role reads it when it starts",
    otherwise: 'none: updates are not signed',
  },
};

/** What `tsig-name`, `tsig-algorithm` and `tsig-secret` say; `undefined` where none of them is given. */
export function readTsigKey(section: SectionReader): TsigKey | undefined {
  const name = section.one('tsig-name', parseDomain);
  const algorithm = section.one('tsig-algorithm', parseAlgorithm);
  const parts = section.secret('tsig-secret', parseKey, { folder: section.folder, lines: 'any' });
  if (!parts) {
    if (name !== undefined) section.fail('needs tsig-secret or tsig-secret-file beside it', 'tsig-name');
    if (algorithm !== undefined) section.fail('needs tsig-name and a secret beside it', 'tsig-algorithm');
    return undefined;
  }
  const called = name ?? parts.name;
  if (called === undefined) return section.fail('needs tsig-name beside it', 'tsig-secret');
  return { name: called, algorithm: algorithm ?? parts.algorithm ?? ALGORITHM, secret: parts.secret };
}

const parseAlgorithm: Parse<TsigAlgorithm> = (text, fail) =>
  algorithms.find(one => one === toName(text) || one === `hmac-${text.toLowerCase()}`) ??
  fail(`unknown algorithm; known: ${algorithms.join(', ')}`);

/** The shortest that is not refused is what an old `dnssec-keygen -b 128` made. */
const SHORTEST_SECRET = 16;

/** The reasons never repeat the secret. */
const parseSecret: Parse<KeyObject> = (text, fail) => {
  const plain = text.replace(/\s+/g, '');
  if (!/^[\w+/-]+={0,2}$/.test(plain)) return fail('is not base64');
  const bytes = Buffer.from(plain, 'base64');
  if (bytes.length < SHORTEST_SECRET)
    return fail(`is shorter than ${SHORTEST_SECRET} bytes: make one with tsig-keygen`);
  return createSecretKey(bytes);
};

/** A key in the words of the options; `secret` is base64. */
export type KeyText = { name: string; algorithm: string; secret: string };

/** What a file with a whole `key` statement says, for a configuration that is to hold it itself. */
export const parseKeyText: Parse<KeyText> = (text, fail) => {
  const { name, algorithm = 'hmac-sha256', secret } = parseKey(text, fail);
  if (name === undefined) return fail("holds no key statement, as BIND's tsig-keygen prints one");
  return { name, algorithm, secret: secret.export().toString('base64') };
};

/** The secret alone, or the `key` statement that BIND's `tsig-keygen` prints. */
const parseKey: Parse<KeyParts> = (text, fail) => {
  const [, name, body = ''] = /key\s+"?([^\s"{]+)"?\s*\{([^}]*)\}/.exec(text) ?? [];
  if (name === undefined) return { secret: parseSecret(text, fail) };
  const value = (option: string) => new RegExp(`\\b${option}\\s+"?([^\\s";]+)"?\\s*;`).exec(body)?.[1];
  const algorithm = value('algorithm');
  return {
    name: parseDomain(name, fail),
    ...(algorithm !== undefined && { algorithm: parseAlgorithm(algorithm, fail) }),
    secret: parseSecret(value('secret') ?? fail('has no secret in its key statement'), fail),
  };
};
