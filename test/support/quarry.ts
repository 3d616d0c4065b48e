import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { type Process, startProcess } from './processes.ts';
import { tempDir } from './temp-dir.ts';

const thisTree = join(import.meta.dirname, '..', '..');

/** The program of the `quarry` command, in this tree or in another one. */
export const quarryProgram = (root = thisTree) => join(root, 'services', 'cli', 'quarry.js');

export type Quarry = Process & {
  /** Of its admin listener. */
  adminUrl: string;
  /** Where it runs, beside its configuration `main.ini`. */
  folder: string;
  /** Its log, line by line. */
  log(): Record<string, unknown>[];
};

export type QuarryOptions = {
  ready?: 'ready' | 'alive';
  nodeArgs?: readonly string[];
  /** A command that starts the one after it, such as `prlimit`. */
  through?: readonly string[];
  /** Of the tree whose `quarry` is started; this one by default. */
  root?: string;
};

/**
 * Starts `quarry <command>` as a process of its own with this configuration, to which an admin listener is
 * added, and waits until it is ready (or, with `ready: 'alive'`, until it runs).
 */
export async function startQuarry(
  command: 'up' | 'intake' | 'worker' | 'responder' | 'scheduler',
  ini: string,
  { ready = 'ready', nodeArgs = [], through = [], root }: QuarryOptions = {},
): Promise<Quarry> {
  await using started = new AsyncDisposableStack();
  const { path } = started.use(await tempDir());
  const adminUrl = `http://127.0.0.1:${await freePort()}`;
  const file = join(path, 'main.ini');
  await writeFile(file, `${ini}\n[admin]\nlistener = ${new URL(adminUrl).host}\n`);
  const probe = ready === 'ready' ? '/readyz' : '/healthz';
  const words = [...through, process.execPath, ...nodeArgs, quarryProgram(root), command, file] as const;
  const [program = '', ...args] = words;
  let listens = false;
  const running = await startProcess(program, args, {
    name: `quarry ${command}`,
    cwd: path,
    ready: async () => {
      listens ||= await accepts(new URL(adminUrl));
      return listens && (await fetch(adminUrl + probe)).ok;
    },
  });
  started.use(running);
  const parts = started.move();
  return Object.assign(running, {
    adminUrl,
    folder: path,
    log: () =>
      running
        .output()
        .split('\n')
        .filter(line => line.startsWith('{'))
        .map(line => JSON.parse(line) as Record<string, unknown>),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  });
}

/** Whether somebody listens there: to be refused costs a tenth of what a failed `fetch` does. */
const accepts = ({ hostname, port }: URL): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(Number(port), hostname, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
