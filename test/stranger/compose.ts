import { execFile } from 'node:child_process';
import { chmod, copyFile, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startChalltestsrv } from '../support/challtestsrv.ts';
import { findCompose } from '../support/demo/compose-stack.ts';
import { startPebble } from '../support/pebble.ts';
import { type ShiftedTime, shiftedTime } from '../support/shifted-time.ts';
import { findLine, getAndRenew, hostAddress, name, putClock } from './host.ts';
import { openSteps } from './steps.ts';
import { brief, type Handed, startHost, strangersEnv, toInit } from './ways.ts';

// The third way, in the network of this machine, as a container engine has its own there: the stack of
// compose.yaml, and outside of it a CA, its DNS and a host beyond a cable.

/** What this machine is to the host and to the containers. */
const address = hostAddress.replace(/\d+$/, '1');

/** @param handed `checkout`: a clone, with what npm brings */
export async function fromCompose(
  { base, checkout, checkoutSeconds }: Omit<Handed, 'packages'>,
  say: (line: string) => void,
): Promise<void> {
  if ((await findCompose())?.[1] !== 'compose')
    return say(
      '\nWith Docker Compose: not tried: this machine has no container engine, or no docker compose',
    );
  await using stack = new AsyncDisposableStack();
  const time = stack.use(await shiftedTime());
  const host = stack.use(await startHost(base));
  const turnHost = await putClock(host, time, [`quarry-get-${name}.service`]);
  const { dnsServer } = stack.use(await startChalltestsrv({ dnsPort: 53, address }));
  const pebble = stack.use(await startPebble({ httpPort: 80, dnsServer, address, profiles: brief }));

  const folder = join(checkout, '../stack');
  await cp(checkout, folder, { recursive: true, verbatimSymlinks: true });
  const turned = await turnContainers(join(checkout, '../turned'), time);
  const env = {
    ...strangersEnv(),
    COMPOSE_FILE: `compose.yaml:${turned.file}`,
    COMPOSE_PROJECT_NAME: `quarry-stranger-${process.pid}`,
  };
  const onServer = async (line: string) =>
    (await promisify(execFile)('sh', ['-c', line], { cwd: folder, env, maxBuffer: 64 * 1024 * 1024 })).stdout;

  const title = `With Docker Compose: ${checkoutSeconds} s for npm ci, then`;
  const steps = openSteps(title, say, checkoutSeconds);
  const told = await steps.step('npx quarry init --compose', () =>
    onServer(`npx quarry ${toInit(pebble, pebble.caFile, address)} --port 80 --compose`),
  );
  const [up = ''] = findLine(told, /^ *(docker compose up .*)$/m);
  stack.defer(async () => void (await onServer('docker compose down --volumes --rmi local --timeout 5')));
  await steps.step(`${up}, which builds the image, until all of it is healthy`, () => onServer(up));
  const turn = async (milliseconds: number) => {
    await time.set(milliseconds);
    await Promise.all([turnHost(), turned.turn()]);
  };
  await getAndRenew({ host, pebble, told, onServer, turn }, steps);
}

/** Roles that look at the time, and the Redis that has it for all of them. */
const clocked = ['intake', 'worker', 'scheduler', 'redis'];

/**
 * Has containers go by a clock that can be turned, and ask the DNS in which the host's name leads here.
 *
 * @param folder to be made, of which they have what they need
 * @returns the file that Compose is to read as well, and what turns the clock
 */
async function turnContainers(
  folder: string,
  { env }: ShiftedTime,
): Promise<{ file: string; turn(): Promise<void> }> {
  await mkdir(folder);
  await chmod(folder, 0o755); // They run as other users.
  await copyFile(`${env.LD_PRELOAD}`, join(folder, 'shift.so'));
  await writeFile(join(folder, 'shift'), Buffer.alloc(8));
  const service = {
    environment: { LD_PRELOAD: '/turned/shift.so', SHIFT_FILE: '/turned/shift' },
    volumes: [`${folder}:/turned:ro`],
    dns: [address],
  };
  const file = join(folder, 'override.yaml');
  const services = Object.fromEntries(clocked.map(role => [role, service]));
  await writeFile(file, JSON.stringify({ services }));
  return {
    file,
    turn: async () => writeFile(join(folder, 'shift'), await readFile(`${env.SHIFT_FILE}`), { flag: 'r+' }),
  };
}
