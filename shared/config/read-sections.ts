import { readFile } from 'node:fs/promises';
import { describeFileError } from '../base/basics.ts';
import { ConfigError, describeSection } from './config-error.ts';
import { type IniSection, parseIni } from './ini.ts';

/** Whether a section has a name. Where one that may have a name has none, it is `default`. */
const known: Record<string, 'never' | 'maybe' | 'always'> = {
  account: 'maybe',
  mgmt: 'never',
  logging: 'never',
  redis: 'never',
  worker: 'never',
  limits: 'maybe',
  admin: 'never',
  verification: 'always',
  storage: 'always',
  auth: 'always',
  renewal: 'always',
  notify: 'always',
};

/**
 * The sections of all files as of one, in their order.
 *
 * @throws ConfigError for a file that cannot be read, and for an unknown section or one that is given twice
 */
export async function readSections(files: string[]): Promise<IniSection[]> {
  const texts = await Promise.all(files.map(readText));
  const sections = files.flatMap((file, index) => parseIni(texts[index] ?? '', file));
  for (const section of sections) checkHeading(section);
  refuseRepeated(sections);
  return sections;
}

async function readText(file: string): Promise<string> {
  const bytes = await readFile(file).catch(error => {
    throw new ConfigError({ file }, `cannot be read: ${describeFileError(error)}`);
  });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new ConfigError({ file }, 'is not UTF-8 text');
  }
}

function checkHeading(section: IniSection): void {
  const { name, label, file, line } = section;
  const refuse = (reason: string): never => {
    throw new ConfigError({ file, line, section }, reason);
  };
  if (name === 'setup') refuse("Python plugins and include-path can't be used here; remove the section");
  if (!Object.hasOwn(known, name)) refuse(`unknown section; known: ${Object.keys(known).join(', ')}`);
  if (known[name] === 'always' && label === undefined) refuse(`needs a name: [${name} "name"]`);
  if (known[name] === 'never' && label !== undefined) refuse(`takes no name: [${name}]`);
}

/** macen lets the second one win; here nothing is merged, for that would hide which one counts. */
function refuseRepeated(sections: IniSection[]): void {
  const first = new Map<string, IniSection>();
  for (const section of sections) {
    const { file, line } = section;
    const heading = describeSection(isDefault(section) ? { name: section.name } : section);
    const earlier = first.get(heading);
    if (earlier) {
      throw new ConfigError(
        { file, line, section },
        `is defined twice, first at ${earlier.file}:${earlier.line}`,
      );
    }
    first.set(heading, section);
  }
}

const isDefault = ({ name, label }: IniSection) => known[name] === 'maybe' && label === 'default';
