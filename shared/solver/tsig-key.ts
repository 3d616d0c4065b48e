import { createSecretKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describeFileError } from '../base/basics.ts';
import { toName } from '../base/identifier.ts';
import { parseDomain } from '../config/domain-name.ts';
import type { Fail, Parse, SectionReader } from '../config/section-reader.ts';
import type { TsigAlgorithm, TsigKey } from '../dns/tsig.ts';

const algorithms = ['hmac-sha256', 'hmac-sha384', 'hmac-sha512'] as const satisfies TsigAlgorithm[];

/** What a key is made of; a file may hold all of it. */
type KeyParts = { name?: string | undefined; algorithm?: TsigAlgorithm | undefined; secret: KeyObject };

/**
 * `tsig-name`, `tsig-algorithm`, and `tsig-secret` or `tsig-secret-file`; `undefined` where none of them is
 * given.
 */
export function readTsigKey(section: SectionReader): TsigKey | undefined {
  const name = section.one('tsig-name', parseDomain);
  const algorithm = section.one('tsig-algorithm', parseAlgorithm);
  const secret = section.one('tsig-secret', parseSecret);
  const file = section.one('tsig-secret-file', (text, fail) =>
    readKeyFile(resolve(section.folder, text), fail),
  );
  if (secret && file) section.fail('is given in tsig-secret-file too; remove one of them', 'tsig-secret');
  const parts: KeyParts | undefined = secret ? { secret } : file;
  if (!parts) {
    if (name !== undefined) section.fail('needs tsig-secret or tsig-secret-file beside it', 'tsig-name');
    if (algorithm !== undefined) section.fail('needs tsig-name and a secret beside it', 'tsig-algorithm');
    return undefined;
  }
  const called = name ?? parts.name;
  const given = secret ? 'tsig-secret' : 'tsig-secret-file';
  if (called === undefined) return section.fail('needs tsig-name beside it', given);
  return { name: called, algorithm: algorithm ?? parts.algorithm ?? 'hmac-sha256', secret: parts.secret };
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

/** The secret alone, or the `key` statement that BIND's `tsig-keygen` prints. */
function readKeyFile(path: string, fail: Fail): KeyParts {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    return fail(`${path} cannot be read: ${describeFileError(error)}`);
  }
  const refuse: Fail = reason => fail(`${path}: ${reason}`);
  const [, name, body = ''] = /key\s+"?([^\s"{]+)"?\s*\{([^}]*)\}/.exec(text) ?? [];
  if (name === undefined) return { secret: parseSecret(text.trim(), refuse) };
  const value = (option: string) => new RegExp(`\\b${option}\\s+"?([^\\s";]+)"?\\s*;`).exec(body)?.[1];
  const algorithm = value('algorithm');
  return {
    name: parseDomain(name, refuse),
    ...(algorithm !== undefined && { algorithm: parseAlgorithm(algorithm, refuse) }),
    secret: parseSecret(value('secret') ?? refuse('has no secret in its key statement'), refuse),
  };
}
