import type { KeyObject } from 'node:crypto';
import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { createAtomically, readIfThere, writeAtomically } from '../base/atomic-file.ts';
import type { Log } from '../base/basics.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import { explainFileError } from '../base/file-error.ts';
import { ConfigError } from '../config/config-error.ts';
import { describeKeyType, generateKeyPem, type KeyType, readPrivateKey } from '../pki/private-key.ts';
import { type DomainMemory, formatMemory } from './memory.ts';
import { parseShamanProfile, type ShamanDomain, type ShamanProfile } from './profile.ts';
import { formatJson, parseJsonAsWritten } from './python-json.ts';

/** What is to be written; `undefined` removes a key. */
type Patch = Record<string, unknown>;

/** `shaman.json` in a directory. */
export type ShamanFile = {
  path: string;
  /** @throws ConfigError with one line when it cannot be read or used */
  read(): Promise<ShamanProfile>;
  /** Changes keys of the file as it stands now: what somebody edits while a run goes on is kept. */
  patch(patch: Patch): Promise<void>;
  /** The same for keys of a domain; one that was taken out meanwhile is not put back. */
  patchDomain(name: string, patch: Patch): Promise<void>;
};

type Document = Record<string, unknown>;

export function openShamanFile(directory: string): ShamanFile {
  const path = join(directory, 'shaman.json');
  return {
    path,
    read: async () => parseShamanProfile(await readDocument(path, JSON.parse), path),
    patch: async patch => writeDocument(path, withPatch(await readAsWritten(path), patch)),
    async patchDomain(name, patch) {
      const document: { domains?: Record<string, Document> } = await readAsWritten(path);
      const domain =
        document.domains && Object.hasOwn(document.domains, name) ? document.domains[name] : undefined;
      if (!domain) return;
      await writeDocument(path, {
        ...document,
        domains: { ...document.domains, [name]: withPatch(domain, patch) },
      });
    },
  };
}

const withPatch = (object: Document, patch: Patch): Document =>
  Object.fromEntries(Object.entries({ ...object, ...patch }).filter(([, value]) => value !== undefined));

/** For writing it again: what is not changed stays as it is. */
const readAsWritten = async (path: string) => (await readDocument(path, parseJsonAsWritten)) as Document;

async function readDocument(path: string, parse: (text: string) => unknown): Promise<unknown> {
  try {
    return parse(await readFile(path, 'utf8'));
  } catch (error) {
    if (!(error instanceof SyntaxError))
      throw new ConfigError({ file: path }, `cannot be read: ${explainFileError(error)}`);
    throw new ConfigError(
      { file: path, line: lineOf(error.message) },
      `is not valid JSON: ${withoutText(error.message)}`,
    );
  }
}

const lineOf = (message: string) => Number(/\(line (\d+) column \d+\)/.exec(message)?.[1]) || undefined;

/** V8 repeats a piece of the text, which may be a secret. */
const withoutText = (message: string) => message.replace(/,? (\.\.\.|"|in JSON at ).*$/s, '');

/** Never written half, never wider open than it was, and through a symbolic link to where it leads. */
async function writeDocument(path: string, document: Document): Promise<void> {
  const target = await realpath(path);
  const mode = (await stat(target)).mode & 0o777;
  await writeAtomically(target, formatJson(document), { mode }).catch(failToWrite(path));
}

/** For the error of a file system, which may name a temporary file. */
export const failToWrite =
  (path: string) =>
  (error: unknown): never => {
    throw new Error(`${path} cannot be written: ${explainFileError(error)}`);
  };

// The other files of the directory.

export const keyFileOf = (name: string) => `${name}.key.priv.pem`;
export const certificateFileOf = (name: string) => `${name}.cert.pub.pem`;

/** A file as `shaman.json` names it. */
export const inDirectory = ({ path }: Pick<ShamanFile, 'path'>, name: string) => resolve(dirname(path), name);
export const certificatePath = ({ path }: Pick<ShamanFile, 'path'>, name: string) =>
  join(dirname(path), certificateFileOf(name));

type ReadyKey = { pem: string; key: KeyObject; made: boolean };

/** @throws IssuanceError `misconfigured` where the file cannot be read, or holds no usable key */
export async function readKeyFile(path: string): Promise<ReadyKey> {
  const pem = await readFile(path, 'utf8').catch(error => {
    const detail = `${path} cannot be read: ${explainFileError(error)}`;
    throw new IssuanceError('misconfigured', detail);
  });
  try {
    return { pem, key: readPrivateKey(pem), made: false };
  } catch (error) {
    throw new IssuanceError('misconfigured', `${path} holds no usable private key: ${describeError(error)}`);
  }
}

/**
 * Makes a key where there is none. A file that is there already is never written over, as it may be in use: a
 * run that was stopped before it could note the file's name has left it.
 *
 * @throws IssuanceError `misconfigured` where the file holds no usable key, or one of another type
 */
export async function makeKeyFile(path: string, type: KeyType): Promise<ReadyKey> {
  const made =
    (await readIfThere(path)) === undefined &&
    (await createAtomically(path, await generateKeyPem(type), 0o600).catch(failToWrite(path)));
  const ready = await readKeyFile(path);
  const found = describeKeyType(ready.key);
  if (found === type) return { ...ready, made };
  throw new IssuanceError(
    'misconfigured',
    `${path} is there already and holds another key (${found}): move it away`,
  );
}

type Change = Partial<Pick<ShamanDomain, 'key' | 'orderUrl' | 'certificateUrl' | 'memory'>>;

const keys = { key: 'key', orderUrl: 'order_id', certificateUrl: 'certificate_id' } as const;

/** What a run knows of a domain, the same in `shaman.json` and here. */
export class DomainEntry {
  readonly file: ShamanFile;
  readonly #log: Log;
  #domain: ShamanDomain;

  constructor(file: ShamanFile, domain: ShamanDomain, log: Log) {
    this.file = file;
    this.#log = log;
    this.#domain = domain;
  }

  get domain(): Readonly<ShamanDomain> {
    return this.#domain;
  }

  /** All that its certificate is for. */
  get names(): string[] {
    return this.#domain.identifiers.map(({ value }) => value);
  }

  /** Logs a sentence with the domain in front. */
  say(level: 'info' | 'warn' | 'error', sentence: string): void {
    const { name } = this.#domain;
    this.#log[level]({ domain: name }, `${name}: ${sentence}`);
  }

  /** What is undefined in it is removed. Of the memory only the parts that are named change. */
  async change(change: Change): Promise<void> {
    const memory: DomainMemory = { ...this.#domain.memory, ...change.memory };
    this.#domain = { ...this.#domain, ...change, memory };
    const patch: Patch = change.memory ? { quarry: formatMemory(memory) } : {};
    for (const [field, key] of Object.entries(keys)) {
      if (field in change) patch[key] = change[field as keyof typeof keys];
    }
    await this.file.patchDomain(this.#domain.name, patch);
  }
}
