import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Ground } from './client.ts';

// What shared/acme-server/clients.md shows is what the matrix runs.

const pageFile = join(import.meta.dirname, '../../shared/acme-server/clients.md');

/** Such as `sh` or `ini`: what the block's fence says. */
export type Language = string;

/**
 * The blocks below a heading of the page, in this language, one after the other.
 *
 * @param heading as it stands after `## `
 */
export function shownBlocks(heading: string, language: Language): string[] {
  const page = readFileSync(pageFile, 'utf8');
  const [, ...sections] = page.split(/^## /m);
  const section = sections.find(one => one.startsWith(`${heading}\n`));
  assert.ok(section !== undefined, `clients.md has a section ${heading}`);
  const fences = [...section.matchAll(/^```(\S*)\n([\s\S]*?)^```$/gm)];
  return fences.filter(([, of]) => of === language).map(([, , block = '']) => block);
}

/** Puts what is so in a test in the place of the page's examples. */
export function fill(block: string, ground: Ground, names: string[]): string {
  const { directoryUrl, caFile, binding, dir } = ground;
  return block
    .replaceAll('https://quarry.example.org/acme/directory', directoryUrl)
    .replaceAll('/etc/ssl/quarry-ca.pem', caFile)
    .replaceAll('EAB_KEY', binding?.key ?? 'none')
    .replaceAll('/var/lib/acme', dir)
    .replaceAll('www.example.org', names.join(' '));
}
