import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { describeFileError } from '../base/errors.ts';
import { adviseOnFile } from '../base/file-error.ts';
import { ConfigError, describeSection } from './config-error.ts';
import { listFiles } from './config-files.ts';
import { guess } from './guess.ts';
import { type IniOption, type IniSection, parseIni } from './ini.ts';

/** Whether a section has a name. Where one that may have a name has none, it is `default`. */
const known: Record<string, 'never' | 'maybe' | 'always'> = {
  account: 'maybe',
  mgmt: 'never',
  logging: 'never',
  redis: 'never',
  worker: 'never',
  limits: 'maybe',
  admin: 'never',
  acme: 'never',
  trail: 'never',
  verification: 'always',
  storage: 'always',
  auth: 'always',
  renewal: 'always',
  notify: 'always',
};

/**
 * The sections of all files as of one, in their order.
 *
 * @param paths of files, and of folders with files in them
 * @throws ConfigError for a file that cannot be read, for an unknown section, and where files contradict each
 *   other
 */
export async function readSections(paths: readonly string[]): Promise<IniSection[]> {
  const files = await listFiles(paths);
  const texts = await Promise.all(files.map(readText));
  const sections = files.flatMap((file, index) => parseIni(texts[index] ?? '', file));
  for (const section of sections) checkHeading(section);
  return joinRepeated(sections);
}

async function readText(file: string): Promise<string> {
  const bytes = await readFile(file).catch(error => {
    throw new ConfigError(
      { file },
      `cannot be read: ${describeFileError(error)}${adviseOnConfig(file, error)}`,
    );
  });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new ConfigError({ file }, 'is not UTF-8 text');
  }
}

/** A file that is not there is what a newcomer has. By another name it is hardly meant as one. */
function adviseOnConfig(file: string, error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  const isMissing = code === 'ENOENT' && file.endsWith('.ini');
  return isMissing ? `; make it by quarry init ${file}` : adviseOnFile(error);
}

function checkHeading(section: IniSection): void {
  const { name, label, file, line } = section;
  const refuse = (reason: string): never => {
    throw new ConfigError({ file, line, section }, reason);
  };
  if (name === 'setup') refuse("Python plugins and include-path can't be used here; remove the section");
  if (!Object.hasOwn(known, name)) refuse(`unknown section${guess(name, Object.keys(known), 'known')}`);
  if (known[name] === 'always' && label === undefined) refuse(`needs a name: [${name} "name"]`);
  if (known[name] === 'never' && label !== undefined) refuse(`takes no name: [${name}]`);
}

/**
 * Makes one of the sections that several files give the same heading, as macen wants an [account] in each of
 * its files. There the last one counts; here they must agree, or nobody could tell which counts.
 */
function joinRepeated(sections: IniSection[]): IniSection[] {
  const joined = new Map<string, IniSection>();
  const inFile = new Map<string, IniSection>();
  for (const section of sections) {
    const heading = describeSection(isDefault(section) ? { name: section.name } : section);
    const { file } = section;
    refuseTwice(section, inFile.get(`${file}:${heading}`));
    inFile.set(`${file}:${heading}`, section);
    const earlier = joined.get(heading);
    joined.set(heading, earlier ? join(earlier, section) : section);
  }
  return [...joined.values()];
}

function refuseTwice(section: IniSection, first: IniSection | undefined): void {
  if (!first) return;
  const { file, line } = section;
  throw new ConfigError({ file, line, section }, `is defined twice, first at ${first.file}:${first.line}`);
}

/** A block with a name is said as a whole; what the other sections say adds up. */
function join(earlier: IniSection, section: IniSection): IniSection {
  if (section.label !== undefined && !isDefault(section)) {
    if (isDeepStrictEqual(toPairs(section), toPairs(earlier))) return earlier;
    const { file, line } = section;
    const reason = `is defined at ${earlier.file}:${earlier.line} too, and otherwise`;
    throw new ConfigError({ file, line, section }, reason);
  }
  const added = section.options.filter(option => !isSaidAlready(option, section, earlier));
  return { ...earlier, options: [...earlier.options, ...added] };
}

const toPairs = ({ options }: IniSection) => options.map(({ key, value }) => [key, value]);

/** @throws ConfigError where it is said otherwise */
function isSaidAlready({ key, file, line }: IniOption, section: IniSection, earlier: IniSection): boolean {
  const valuesIn = ({ options }: IniSection) => options.filter(one => one.key === key).map(one => one.value);
  const [said] = earlier.options.filter(option => option.key === key);
  if (said === undefined) return false;
  if (isDeepStrictEqual(valuesIn(section), valuesIn(earlier))) return true;
  throw new ConfigError(
    { file, line, section, option: key },
    `is said otherwise at ${said.file}:${said.line}`,
  );
}

const isDefault = ({ name, label }: IniSection) => known[name] === 'maybe' && label === 'default';
