import { readFile } from 'node:fs/promises';
import { describeFileError } from '../base/errors.ts';
import { ConfigError, describeSection } from './config-error.ts';
import { type IniSection, parseIni } from './ini.ts';

const single = ['account', 'mgmt', 'logging', 'redis', 'worker', 'limits', 'admin'];
const labelled = ['verification', 'storage', 'auth', 'renewal', 'notify'];

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
  if (labelled.includes(name) && label === undefined) refuse(`needs a name: [${name} "name"]`);
  if (single.includes(name) && label !== undefined) refuse(`takes no name: [${name}]`);
  if (![...single, ...labelled].includes(name)) {
    refuse(`unknown section; known: ${[...single, ...labelled].join(', ')}`);
  }
}

/** macen lets the second one win; here nothing is merged, for that would hide which one counts. */
function refuseRepeated(sections: IniSection[]): void {
  const first = new Map<string, IniSection>();
  for (const section of sections) {
    const { file, line } = section;
    const earlier = first.get(describeSection(section));
    if (earlier) {
      throw new ConfigError(
        { file, line, section },
        `is defined twice, first at ${earlier.file}:${earlier.line}`,
      );
    }
    first.set(describeSection(section), section);
  }
}
