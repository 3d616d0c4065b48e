import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type Cell, cells } from '../../clients/client.ts';
import { allClients } from '../../clients/clients.ts';
import { runMatrix, type Tried } from '../../clients/matrix.ts';

// Real ACME clients, all of them at one fleet, as their owners run them. `npm run clients` tries what is too
// long for here, too, and those that take minutes to build.

/** A client with an account that is bound is refused any name without the binding. */
const shownByOthers: readonly Cell[] = ['one name', 'external account binding'];
/** Clients that run on hear of a mass revocation only after a minute. */
const tooLong: readonly Cell[] = ['a slow CA', 'mass revocation'];
const wanted = cells.filter(cell => !shownByOthers.includes(cell) && !tooLong.includes(cell));

function check(cell: Cell, tried: Tried): void {
  if (tried.outcome === 'cannot') test(cell, { skip: tried.why }, () => {});
  else test(cell, () => assert.ok(tried.outcome === 'yes', 'said' in tried ? tried.said : ''));
}

for (const row of await runMatrix(allClients, wanted)) {
  const { name } = row.client;
  if ('missing' in row) test(name, { skip: row.missing }, () => {});
  else
    suite(name, () => {
      for (const [cell, tried] of row.tried) check(cell, tried);
    });
}
