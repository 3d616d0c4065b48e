import { atMost } from '../../shared/base/at-most.ts';
import { describeError } from '../../shared/base/errors.ts';
import { type Cell, type Client, ClientFailure } from './client.ts';
import { type ClientServer, startClientServer } from './server.ts';
import { issue, type Trial, trials } from './trials.ts';

/** `said` is all that is known of a failure, the client's own output too. */
export type Tried =
  | { outcome: 'yes' }
  | { outcome: 'cannot'; why: string }
  | { outcome: 'no'; why: string; said: string };

export type Row = { client: Client; missing: string } | { client: Client; tried: Map<Cell, Tried> };

/** Is told of each cell when it has been tried. */
export type Report = (client: Client, cell: Cell, tried: Tried) => void;

/** More of them at once would only be each other's load. */
const sideBySide = 5;

/**
 * Tries clients, some side by side, at one fleet; each of them one cell after the other. All intakes are
 * killed once, under all of the clients.
 */
export async function runMatrix(
  clients: readonly Client[],
  cells: readonly Cell[],
  report: Report = () => {},
): Promise<Row[]> {
  const found = await Promise.all(clients.map(async client => ({ client, at: await client.find() })));
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startClientServer());
  const inTurn = atMost(sideBySide);
  const rows = await Promise.all(
    found.map(async ({ client, at }) => {
      if ('missing' in at) return { client, missing: at.missing };
      const trial = await openTrial(stack, server, client, at.path, client.binds);
      const tried = await inTurn(() => tryCells(trial, cells, report));
      return { client, tried, trial };
    }),
  );
  if (cells.includes('a killed intake')) await killIntake(server, rows, report);
  return rows;
}

/** All but the killed intake, which is one for all clients. */
async function tryCells(trial: Trial, cells: readonly Cell[], report: Report): Promise<Map<Cell, Tried>> {
  const { client } = trial;
  const tried = new Map<Cell, Tried>();
  for (const cell of cells) {
    const why = client.lacks[cell];
    if (why !== undefined) tried.set(cell, { outcome: 'cannot', why });
    else if (cell !== 'a killed intake') {
      const told = await tell(() => trials[cell](trial));
      tried.set(cell, told);
      report(client, cell, told);
    }
  }
  return tried;
}

async function openTrial(
  stack: AsyncDisposableStack,
  server: ClientServer,
  client: Client,
  program: string,
  bound: boolean,
): Promise<Trial> {
  const ground = await server.makeGround(bound);
  const driver = await client.open(ground, program);
  stack.defer(async () => driver.stop?.());
  const below = `${client.name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}.${bound ? 'bound' : 'open'}.example`;
  return {
    client,
    server,
    driver,
    name: label => `${label}.${below.replace(/^-|-(?=\.)/g, '')}`,
    openUnbound: () => openTrial(stack, server, client, program, false),
  };
}

async function tell(act: () => Promise<unknown>): Promise<Tried> {
  try {
    await act();
    return { outcome: 'yes' };
  } catch (error) {
    const said = error instanceof ClientFailure ? error.output : describeError(error);
    return { outcome: 'no', why: said.trim().split('\n').at(-1) ?? '', said };
  }
}

/**
 * The only intake is killed while it holds the clients' finalize. They come back by themselves, or their next
 * run gets the certificate.
 */
async function killIntake(
  server: ClientServer,
  rows: { tried?: Map<Cell, Tried>; trial?: Trial }[],
  report: Report,
) {
  const { acme } = server;
  const working = rows.flatMap(({ tried, trial }) =>
    tried && trial && !trial.client.lacks['a killed intake'] ? [{ tried, trial }] : [],
  );
  const rule = acme.fleet.ca.rule({ kind: 'finalize', do: { hold: 'before' } });
  const issuing = working.map(({ trial }) => issue(trial, [trial.name('killed')]).catch(() => undefined));
  await Promise.race([rule.hit(working.length), Promise.allSettled(issuing)]);
  const [killed] = acme.fleet.all('intake');
  await Promise.all([killed?.kill(), acme.startIntake()]);
  rule.remove();
  await Promise.all(
    working.map(async ({ tried, trial }, index) => {
      const done = await issuing[index];
      const again = () => (done ? Promise.resolve() : issue(trial, [trial.name('killed')]));
      const told = await tell(again);
      tried.set('a killed intake', told);
      report(trial.client, 'a killed intake', told);
    }),
  );
}
