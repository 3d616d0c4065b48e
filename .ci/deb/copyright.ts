import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Module, readLicenses } from './modules.ts';

// Debian's machine-readable copyright file (DEP 5), with the licence of each module.

type Part = { files: string; owners: string[]; license: string; text: string };

/** @param nodeLicense what Node and the libraries in it are licensed by */
export function toCopyright(root: string, modules: Module[], nodeLicense: string): string {
  const own = toPart('*', 'MIT', [readFileSync(join(root, 'LICENSE'), 'utf8')]);
  const node: Part = {
    files: 'usr/lib/quarry/bin/node',
    owners: ['Node.js contributors, and those named below'],
    license: 'Node.js',
    text: referToDebian(nodeLicense),
  };
  const parts = modules.map(module =>
    toPart(`usr/lib/quarry/${module.path}/*`, module.license, readLicenses(root, module)),
  );
  return [
    'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: quarry\n',
    ...group([own, node, ...parts]).map(toStanza),
  ].join('\n');
}

const isOwner = (line: string) => /^\W*(copyright|\(c\))\s.*(\d{4}|[(©]|by\s)/i.test(line);

const APACHE = 'On Debian systems the licence is in /usr/share/common-licenses/Apache-2.0.';
const GPL = 'On Debian systems the licence is in /usr/share/common-licenses/GPL-2.';

/** Debian wants those that each system has not repeated. */
const referToDebian = (text: string) =>
  text
    .replace(
      /^[ \t]*Apache License[ \t]*$[\s\S]*?END OF TERMS AND CONDITIONS(\s+APPENDIX[\s\S]*?limitations under the License\.)?/gm,
      APACHE,
    )
    .replace(/^[ \t]*GNU GENERAL PUBLIC LICENSE[ \t]*$[\s\S]*/m, GPL);

function toPart(files: string, license: string, texts: string[]): Part {
  const lines = texts.join('\n').split('\n');
  const owners = lines.filter(isOwner).map(line => line.replace(/^\W*(copyright\s*(:\s*)?)?/i, '').trim());
  const text = lines.filter(line => !isOwner(line)).join('\n');
  return {
    files,
    owners: owners.length > 0 ? owners : [`the authors of ${files.split('/').slice(4, -1).join('/')}`],
    license: license.replace(/[()]/g, '').replace(' OR ', ' or '),
    text: license === 'Apache-2.0' ? APACHE : referToDebian(text).trim(),
  };
}

/** Those with the same words share a stanza. */
function group(parts: Part[]): (Part & { all: string[] })[] {
  const toWords = ({ license, text }: Part) => `${license} ${text.replace(/\W+/g, ' ').toLowerCase()}`;
  return [...Map.groupBy(parts, toWords).values()].map(same => ({
    ...(same.find(({ text }) => text !== '') ?? (same[0] as Part)),
    all: same.map(({ files }) => files),
    owners: [...new Set(same.flatMap(({ owners }) => owners))],
  }));
}

const indent = (text: string) =>
  text
    .split('\n')
    .map(line => (line.trim() === '' ? ' .' : ` ${line.trimEnd()}`))
    .join('\n');

function toStanza({ all, owners, license, text }: Part & { all: string[] }): string {
  const words = text === '' ? `As the module's manifest says: ${license}.` : text;
  return `Files: ${all.join('\n ')}\nCopyright: ${owners.join('\n ')}\nLicense: ${license}\n${indent(words)}\n`;
}
