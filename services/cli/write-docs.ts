import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fillTables } from '../docs/option-tables.ts';
import { fillCommands } from './command-table.ts';
import { loadCommands } from './commands.ts';

// `npm run docs`

const root = join(import.meta.dirname, '../..');
const commands = await loadCommands();

for (const path of globSync('{*.md,{services,shared}/**/*.md}', { cwd: root })) {
  const text = readFileSync(join(root, path), 'utf8');
  const filled = fillCommands(fillTables(path, text), commands);
  if (filled === text) continue;
  writeFileSync(join(root, path), filled);
  process.stdout.write(`${path}\n`);
}
