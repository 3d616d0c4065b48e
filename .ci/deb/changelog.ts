import { plainText } from './plain-text.ts';

// Debian's changelog (deb-changelog(5)), made from CHANGELOG.md.

export type Version = { version: string; date: string; sections: { title: string; items: string[] }[] };

/** Those versions that have a date, newest first. */
export function readVersions(page: string): Version[] {
  const chapters = page.split(/^## /m).slice(1);
  return chapters.flatMap(chapter => {
    const [, version, date] = /^(\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)\n/.exec(chapter) ?? [];
    if (version === undefined || date === undefined) return [];
    const [before = '', ...named] = chapter.split(/^### /m);
    const sections = [`\n${before}`, ...named].map(readSection);
    return [{ version, date, sections: sections.filter(({ items }) => items.length > 0) }];
  });
}

/** Its title is the first line. */
function readSection(text: string): Version['sections'][number] {
  const [title = '', ...lines] = text.split('\n');
  const items = lines.join('\n').split(/^- /m).slice(1);
  return { title, items: items.map(item => plainText(item).replace(/\s+/g, ' ').trim()) };
}

export function toDebianChangelog(versions: Version[], maintainer: string): string {
  return versions
    .map(({ version, date, sections }) => {
      const parts = sections.map(({ title, items }) => {
        return `${title === '' ? '' : `  [ ${title} ]\n`}${items.map(toItem).join('')}`;
      });
      const day = new Date(`${date}T12:00:00Z`).toUTCString().replace('GMT', '+0000');
      return `quarry (${version}) unstable; urgency=medium\n\n${parts.join('\n')}\n -- ${maintainer}  ${day}\n`;
    })
    .join('\n');
}

const WIDTH = 78;

function toItem(text: string): string {
  const lines: string[] = [];
  let line = '  *';
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > WIDTH && line.trim() !== '*') {
      lines.push(line);
      line = '   ';
    }
    line += ` ${word}`;
  }
  return `${[...lines, line].join('\n')}\n`;
}
