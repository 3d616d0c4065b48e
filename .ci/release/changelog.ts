import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Release = { version: string; date: string; notes: string };

const changelog = join(import.meta.dirname, '../../CHANGELOG.md');

/**
 * The releases of a changelog, in its order, which is the newest first. `notes` is the Markdown below the
 * heading. Throws an error that quotes the line where a heading of the second level is neither
 * `VERSION - YYYY-MM-DD` nor `Unreleased`.
 */
export function parseChangelog(text: string): Release[] {
  const [, ...sections] = text.split(/^## /m);
  return sections.flatMap(section => {
    const [heading = '', ...lines] = section.split('\n');
    if (heading === 'Unreleased') return [];
    const found = /^(\d+\.\d+\.\d+(?:-[\w.]+)?) - (\d{4}-\d{2}-\d{2})$/.exec(heading);
    if (!found) throw new Error(`CHANGELOG.md: "## ${heading}" is no version with a date`);
    const [, version = '', date = ''] = found;
    return [{ version, date, notes: lines.join('\n').trim() }];
  });
}

export const readChangelog = (): Release[] => parseChangelog(readFileSync(changelog, 'utf8'));

/** From the page of a release links within the tree lead nowhere: they get its address at the tag. */
export const absoluteLinks = (notes: string, tree: string): string =>
  notes.replace(/\]\((?!https?:|#)([^)\s]+)\)/g, (_, path: string) => `](${tree}/${path})`);

// node .ci/release/changelog.ts v0.2.0 https://github.com/OWNER/quarry: prints what a release says of itself.
if (import.meta.main) {
  const [tag = '', repository = ''] = process.argv.slice(2);
  const release = readChangelog().find(({ version }) => tag === `v${version}`);
  if (release) process.stdout.write(`${absoluteLinks(release.notes, `${repository}/blob/${tag}`)}\n`);
  else {
    process.stderr.write(
      `CHANGELOG.md has no section of ${tag}: write it as "## ${tag.slice(1)} - YYYY-MM-DD"\n`,
    );
    process.exitCode = 1;
  }
}
