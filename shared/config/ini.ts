import { ConfigError } from './config-error.ts';

/** `key = value`, with the place where it is written. */
export type IniOption = { key: string; value: string; file: string; line: number };

/** `[name "label"]` and the options below it, in their order; a repeated key is a repeated entry. */
export type IniSection = { name: string; label?: string; file: string; line: number; options: IniOption[] };

const heading = /^\[([\w-]+)(?:\s+(?:"([^"[\]]+)"|([^\s"'[\]][^"'[\]]*)))?\s*\]$/;
const optionName = /^[\w-]+$/;

/**
 * Reads macen's INI: whole-line comments with `#` or `;`, `key = value` split at the first `=`, `[name]`,
 * `[name "label"]` or `[name label]`, whose label may hold spaces, too.
 *
 * @throws ConfigError for any other line. It never repeats the line, which may hold a key.
 */
export function parseIni(text: string, file: string): IniSection[] {
  const sections: IniSection[] = [];
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n?|\n/);
  lines.forEach((untrimmed, index) => {
    const content = untrimmed.trim();
    const line = index + 1;
    if (content === '' || content.startsWith('#') || content.startsWith(';')) return;
    if (content.startsWith('[')) {
      sections.push(parseHeading(content, file, line));
      return;
    }
    const option = parseOption(content, file, line);
    const section = sections.at(-1);
    if (!section) throw new ConfigError({ file, line }, 'an option before the first [section]');
    section.options.push(option);
  });
  return sections;
}

function parseHeading(content: string, file: string, line: number): IniSection {
  const [, name, quoted, bare] = heading.exec(content) ?? [];
  if (name === undefined) {
    throw new ConfigError(
      { file, line },
      'a heading is [section] or [section "name"], with nothing behind it',
    );
  }
  const label = (quoted ?? bare)?.trim();
  if (label === '') throw new ConfigError({ file, line }, 'the name in the quotes is empty');
  return { name, ...(label !== undefined && { label }), file, line, options: [] };
}

function parseOption(content: string, file: string, line: number): IniOption {
  const split = content.indexOf('=');
  if (split < 0) throw new ConfigError({ file, line }, 'neither key = value nor a [section] nor a # comment');
  const key = content.slice(0, split).trim();
  if (!optionName.test(key)) {
    throw new ConfigError(
      { file, line },
      "an option's name, left of the =, holds only letters, digits, - and _",
    );
  }
  return { key, value: content.slice(split + 1).trim(), file, line };
}
