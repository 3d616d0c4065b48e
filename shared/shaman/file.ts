import { readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeAtomically } from '../base/atomic-file.ts';
import { describeFileError } from '../base/errors.ts';
import { ConfigError } from '../config/config-error.ts';
import { parseShamanProfile, type ShamanProfile } from './profile.ts';

/** What is to be written; `undefined` removes a key. */
export type Patch = Record<string, unknown>;

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
  const file: ShamanFile = {
    path,
    read: async () => parseShamanProfile(await readDocument(path), path),
    patch: async patch => writeDocument(path, withPatch((await readDocument(path)) as Document, patch)),
    async patchDomain(name, patch) {
      const document = (await readDocument(path)) as { domains?: Record<string, Document> };
      const domain =
        document.domains && Object.hasOwn(document.domains, name) ? document.domains[name] : undefined;
      if (!domain) return;
      await writeDocument(path, {
        ...document,
        domains: { ...document.domains, [name]: withPatch(domain, patch) },
      });
    },
  };
  return file;
}

const withPatch = (object: Document, patch: Patch): Document =>
  Object.fromEntries(Object.entries({ ...object, ...patch }).filter(([, value]) => value !== undefined));

async function readDocument(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    if (!(error instanceof SyntaxError))
      throw new ConfigError({ file: path }, `cannot be read: ${describeFileError(error)}`);
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
  await writeAtomically(target, formatShamanJson(document), (await stat(target)).mode & 0o777);
}

/** As Python's `json.dump(…, indent=4, sort_keys=True)` writes it, in ASCII. */
export function formatShamanJson(value: unknown): string {
  return JSON.stringify(sorted(value), null, 4).replace(
    /[\u007f-\uffff]/g,
    unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, one]) => [key, sorted(one)]));
}
