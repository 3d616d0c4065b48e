import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fillTables } from './option-tables.ts';

// `npm run docs`

const root = join(import.meta.dirname, '../..');

for (const path of globSync('{*.md,{services,shared}/**/*.md}', { cwd: root })) {
  const text = readFileSync(join(root, path), 'utf8');
  const filled = fillTables(path, text);
  if (filled === text) continue;
  writeFileSync(join(root, path), filled);
  process.stdout.write(`${path}\n`);
}
