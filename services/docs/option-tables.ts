import { dirname, relative } from 'node:path';
import { type AskedOption, type DocumentedSection, documentedSections } from './asked-options.ts';

// The tables of options in the pages: `npm run docs` writes them, between these marks.

const marked = /(<!-- options of (.+): made by npm run docs -->\n)[\s\S]*?(?=<!-- end of options -->)/g;

/**
 * A page with its tables as the parsers have the options.
 *
 * @param path of the page, from the root of the project
 * @throws Error for a mark of a section that is not there
 */
export function fillTables(path: string, text: string): string {
  return text.replace(marked, (_, mark: string, heading: string) => {
    const section = documentedSections.find(one => one.heading === heading);
    if (!section) throw new Error(`${path}: there is no section ${heading}`);
    return `${mark}\n${toTable(section, path)}\n`;
  });
}

function toTable({ asked, rows }: DocumentedSection, path: string): string {
  const lines = Object.entries(rows).map(([key, { meaning, otherwise }]) => {
    const option = asked.find(one => one.key === key);
    const told = option?.isRepeatable ? `${meaning}; repeatable` : meaning;
    return `| ${describeKeys(key, option)} | ${told} | ${otherwise} |`;
  });
  const table = ['| option | meaning | default |', '| --- | --- | --- |', ...lines, ''].join('\n');
  return table.replace(/\]\(([\w./-]+)(#[\w-]+)?\)/g, (_, to: string, anchor = '') => {
    const link = to === path && anchor !== '' ? '' : relative(dirname(path), to);
    return `](${link}${anchor})`;
  });
}

const describeKeys = (key: string, option: AskedOption | undefined) =>
  [key, option?.fileKey].flatMap(one => (one === undefined ? [] : [`\`${one}\``])).join(' or ');
