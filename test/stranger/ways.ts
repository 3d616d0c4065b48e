import { execFile } from 'node:child_process';
import { copyFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startChalltestsrv } from '../support/challtestsrv.ts';
import { type DebianMachine, startDebianMachine } from '../support/debian-machine.ts';
import { type Pebble, startPebble } from '../support/pebble.ts';
import { startProcess } from '../support/processes.ts';
import { shiftedTime } from '../support/shifted-time.ts';
import { waitUntil } from '../support/wait-until.ts';
import { findLine, getAndRenew, hostAddress, life, name, putClock } from './host.ts';
import { openSteps } from './steps.ts';

// Two ways to a server, in a network of their own: names lead to its loopback, and hosts are beyond a cable.

export type Handed = {
  base: string;
  packages: string;
  checkout: string;
  /** How long it took to make that, in seconds. */
  checkoutSeconds: number;
};

type Say = (line: string) => void;

export async function goBothWays(handed: Handed, say: Say): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const { dnsServer } = stack.use(await startChalltestsrv({ dnsPort: 53 }));
  const pebble = stack.use(await startPebble({ httpPort: 80, dnsServer, profiles: brief }));
  await fromPackage({ ...handed, pebble }, say);
  await fromCheckout({ ...handed, pebble }, say);
}

/** The profile of a CA that has no other. */
export const brief = { brief: { description: 'an hour and a half', validityPeriod: life } };

/** @param listen the address at which the host reaches the server */
export const toInit = ({ directoryUrl }: Pebble, caFile: string, listen = '0.0.0.0') =>
  `init --yes --email none --ca ${directoryUrl} --ca-file ${caFile} --accept-terms --name ${name} ` +
  `--prove http --clients key:${name} --listen ${listen}:1313`;

type Way = Handed & { pebble: Pebble };

/** A fresh one, in a network of its own, with curl and nginx, as hosts have them. */
export async function startHost(base: string): Promise<DebianMachine> {
  const host = await startDebianMachine(base, 'host', hostAddress);
  await host.run('apt-get install -q -y curl nginx-light');
  return host;
}

async function fromPackage({ base, packages, pebble }: Way, say: Say): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const time = stack.use(await shiftedTime());
  const server = stack.use(await startDebianMachine(base, 'server'));
  const host = stack.use(await startHost(base));
  const turns = [
    await putClock(server, time, ['quarry.service']),
    await putClock(host, time, [`quarry-get-${name}.service`]),
  ];
  const [deb = ''] = await readdir(packages);
  await copyFile(join(packages, deb), join(server.shared, 'quarry.deb'));
  await copyFile(pebble.caFile, join(server.shared, 'pebble.pem'));

  const steps = openSteps('With the Debian package, on two fresh machines', say);
  const install = 'apt-get install -q -y ./quarry.deb';
  await steps.step('apt install ./quarry.deb', () => server.run(`cd /mnt/shared; ${install}`));
  const told = await steps.step('quarry init --systemd', () =>
    server.run(`quarry ${toInit(pebble, '/mnt/shared/pebble.pem')} --systemd`),
  );
  await steps.step('until systemd says that it is ready', () =>
    waitUntil('the service', async () => (await server.try('systemctl is-active quarry')).code === 0),
  );
  const turn = async (milliseconds: number) => {
    await time.set(milliseconds);
    for (const one of turns) await one();
  };
  await getAndRenew({ host, pebble, told, onServer: server.run, turn }, steps);
}

/** A checkout on this machine, whose own Node may be older or missing. */
async function fromCheckout(way: Way, say: Say): Promise<void> {
  const { base, checkout: cwd, checkoutSeconds, pebble } = way;
  await using stack = new AsyncDisposableStack();
  const time = stack.use(await shiftedTime());
  const host = stack.use(await startHost(base));
  const turnHost = await putClock(host, time, [`quarry-get-${name}.service`]);
  const onServer = async (line: string) => {
    const { stdout } = await promisify(execFile)('sh', ['-c', line], { cwd, env: strangersEnv() });
    return stdout;
  };

  const steps = openSteps(`From a checkout: ${checkoutSeconds} s for npm ci, then`, say, checkoutSeconds);
  const told = await steps.step('npx quarry init', () =>
    onServer(`npx quarry ${toInit(pebble, pebble.caFile)}`),
  );
  const [up = ''] = findLine(told, /^ *(\S.* up \S+)$/m);
  await steps.step(`${up}, until it is ready`, async () => {
    const ready = async () => (await fetch('http://127.0.0.1:9313/readyz')).ok;
    const env = { ...strangersEnv(), ...time.env };
    stack.use(await startProcess('sh', ['-c', `exec ${up}`], { name: 'quarry up', cwd, env, ready }));
  });
  const turn = async (milliseconds: number) => {
    await time.set(milliseconds);
    await turnHost();
  };
  await getAndRenew({ host, pebble, told, onServer, turn }, steps);
}

/** Without the programs of the checkout that this script is from. */
export const strangersEnv = () => ({
  ...process.env,
  PATH: `${process.env.PATH}`
    .split(':')
    .filter(folder => !folder.includes('node_modules'))
    .join(':'),
});
