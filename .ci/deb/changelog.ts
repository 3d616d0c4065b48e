import type { Release } from '../release/changelog.ts';
import { plainText } from './plain-text.ts';

/** Debian's changelog (deb-changelog(5)). @param maintainer a name and an address */
export function toDebianChangelog(releases: Release[], maintainer: string): string {
  return releases
    .map(({ version, date, notes }) => {
      const sections = `\n${notes}`.split(/^### /m).map(toSection);
      const day = new Date(`${date}T12:00:00Z`).toUTCString().replace('GMT', '+0000');
      const body = sections.filter(section => section !== '').join('\n');
      return `quarry (${version}) unstable; urgency=medium\n\n${body}\n -- ${maintainer}  ${day}\n`;
    })
    .join('\n');
}

/** Its title is the first line, and empty before the first one. */
function toSection(text: string): string {
  const [title = '', ...lines] = text.split('\n');
  const items = lines.join('\n').split(/^- /m).slice(1);
  if (items.length === 0) return '';
  const heading = title === '' ? '' : `  [ ${title} ]\n`;
  return heading + items.map(item => toItem(plainText(item).replace(/\s+/g, ' ').trim())).join('');
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
