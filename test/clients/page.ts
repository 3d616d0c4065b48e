import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readBlocks } from '../support/pages.ts';
import { root } from '../support/read-sources.ts';
import type { Ground } from './client.ts';

// What shared/acme-server/clients.md shows is what the matrix runs.

const path = 'shared/acme-server/clients.md';

/** Such as `sh` or `ini`: what the block's fence says. */
export type Language = string;

/**
 * The blocks below a heading of the page, in this language, one after the other.
 *
 * @param heading as it stands after `## `
 */
export function shownBlocks(heading: string, language: Language): string[] {
  const below = readBlocks({ path, text: readFileSync(join(root, path), 'utf8') }).filter(
    one => one.heading === heading,
  );
  assert.ok(below.length > 0, `${path} has blocks below ${heading}`);
  return below.filter(one => one.language === language).map(({ text }) => text);
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
