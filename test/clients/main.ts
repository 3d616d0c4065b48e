import { styleText } from 'node:util';
import { describeError } from '../../shared/base/errors.ts';
import { type Cell, cells } from './client.ts';
import { allClients } from './clients.ts';
import { type Row, runMatrix, type Tried } from './matrix.ts';

// `npm run clients [NAME…]`: real ACME clients, each with all that it can do, as a table. It brings what is
// missing, which takes minutes the first time. Exit code 1 where a client cannot do what it should.

const marks: Record<Tried['outcome'], string> = { yes: 'yes', cannot: '–', no: 'NO' };

function toTable(rows: Row[]): string {
  const head = ['client', ...cells];
  const lines = rows.map(row => {
    if ('missing' in row) return [row.client.name, ...cells.map(() => '?')];
    return [row.client.name, ...cells.map(cell => marks[row.tried.get(cell)?.outcome ?? 'no'])];
  });
  return [head, head.map(() => '---'), ...lines].map(line => `| ${line.join(' | ')} |`).join('\n');
}

/** What stands below the table: why a client was not tried, or cannot, or what it said. */
function toNotes(rows: Row[]): string[] {
  return rows.flatMap(row => {
    const { name } = row.client;
    if ('missing' in row) return [`${name}: not tried, ${row.missing}`];
    return [...row.tried].flatMap(([cell, tried]) => toNote(name, cell, tried));
  });
}

function toNote(name: string, cell: Cell, tried: Tried): string[] {
  if (tried.outcome === 'yes') return [];
  if (tried.outcome === 'cannot') return [`${name}: ${cell}: ${tried.why}`];
  return [styleText('red', `${name}: ${cell} failed:`), tried.said.trimEnd().replace(/^/gm, '    ')];
}

const isGood = (row: Row) =>
  'tried' in row && [...row.tried.values()].every(({ outcome }) => outcome !== 'no');

async function main(names: string[]): Promise<void> {
  process.env.QUARRY_TEST_CLIENTS = 'all';
  const isWanted = (name: string) =>
    names.length === 0 || names.some(one => name.toLowerCase().includes(one.toLowerCase()));
  const wanted = allClients.filter(({ name }) => isWanted(name));
  if (wanted.length === 0)
    throw new Error(`no such client; there are ${allClients.map(({ name }) => name).join(', ')}`);
  const rows = await runMatrix(wanted, cells, ({ name }, cell, { outcome }) => {
    process.stderr.write(`${name}: ${cell}: ${outcome}\n`);
  });
  process.stdout.write(`${toTable(rows)}\n\n${toNotes(rows).join('\n')}\n`);
  if (!rows.every(isGood)) process.exitCode = 1;
}

await main(process.argv.slice(2)).catch(error => {
  process.stderr.write(`clients: ${describeError(error)}\n`);
  process.exitCode = 2;
});
