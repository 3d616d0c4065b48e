import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import type { DebianMachine } from '../support/debian-machine.ts';
import type { Pebble } from '../support/pebble.ts';
import type { ShiftedTime } from '../support/shifted-time.ts';
import { waitUntil } from '../support/wait-until.ts';
import type { Steps } from './steps.ts';

// A host that is told what to do by what `quarry init` prints, until its nginx serves a renewed certificate.

export const name = 'www.example.org';
/** In a network of its own. */
export const hostAddress = '10.66.0.2';
/** Lives for as long, in seconds, so that it is due after an hour. */
export const life = 90 * 60;

const hour = 3_600_000;
const certificate = `/etc/quarry/get/${name}.pem`;

export type Parts = {
  host: DebianMachine;
  pebble: Pebble;
  /** What `quarry init` printed. */
  told: string;
  /** Runs a line of it that is for the server. */
  onServer(line: string): Promise<string>;
  /** Turns the clocks of all that runs, to so many milliseconds ahead. */
  turn(milliseconds: number): Promise<void>;
};

export async function getAndRenew(
  { host, pebble, told, onServer, turn }: Parts,
  steps: Steps,
): Promise<void> {
  await steps.step('the key goes to the host', async () => {
    const [read = '', , write = ''] = findLine(told, /^ *(\S.*) \| ssh root@(\S+) '(.*)'$/m);
    await writeFile(join(host.shared, 'input'), await onServer(read));
    await host.run(`cd /; (${write}) </mnt/shared/input`);
  });
  const [fetch = ''] = findLine(told, /^ *(curl -fsS \S+ -o quarry-get)$/m);
  const [install = ''] = findLine(told, /^ *(?:sudo )?(sh quarry-get install .*)$/m);
  await steps.step(fetch, () => host.run(`cd; ${fetch}`));
  await steps.step(install, () => host.run(`cd; ${install}`));
  steps.tell('from nothing to a certificate');

  const read = () => readFile(join(host.root, certificate), 'utf8');
  const keyPem = await readFile(join(host.root, `/etc/quarry/get/${name}.key`), 'utf8');
  await writeFile(join(host.shared, 'root.pem'), await pebble.rootPem());
  const first = await read();
  await checkCertificate(host, first, keyPem);
  await host.run(nginxServes);
  await untilServed(first);
  await steps.step('an hour later by their clocks: renewed, fetched by the timer, and reloaded', async () => {
    await turn(hour);
    await waitUntil('a new certificate at the host', async () => {
      await host.run(`systemctl start quarry-get-${name}.service`);
      return (await read()) !== first;
    });
  });
  const second = await read();
  await checkCertificate(host, second, keyPem);
  await untilServed(second);
}

/** The part of a text that a line shows. @throws Error with the whole text */
export function findLine(text: string, line: RegExp): string[] {
  const found = line.exec(text);
  if (!found) throw new Error(`there is no line ${line} in:\n${text}`);
  return found.slice(1);
}

const untilServed = (chain: string) =>
  waitUntil('nginx to serve the certificate', async () => {
    return (await askCertificate()) === new X509Certificate(chain).serialNumber;
  });

/** Throws unless it is for the key and the name, and leads to the CA's root. */
async function checkCertificate(host: DebianMachine, chain: string, keyPem: string): Promise<void> {
  const leaf = new X509Certificate(chain);
  assert.ok(leaf.checkPrivateKey(createPrivateKey(keyPem)));
  assert.equal(leaf.subjectAltName, `DNS:${name}`);
  await host.run(`openssl verify -CAfile /mnt/shared/root.pem -untrusted ${certificate} ${certificate}`);
}

const nginxServes = `cat >/etc/nginx/conf.d/https.conf <<'END'
server {
  listen 443 ssl;
  server_name ${name};
  ssl_certificate ${certificate};
  ssl_certificate_key /etc/quarry/get/${name}.key;
}
END
systemctl reload nginx`;

/** The serial number of what the host's nginx serves. */
const askCertificate = () =>
  new Promise<string>((resolve, reject) => {
    const options = { host: hostAddress, port: 443, servername: name, rejectUnauthorized: false };
    const socket = connect(options, () => {
      resolve(socket.getPeerX509Certificate()?.serialNumber ?? '');
      socket.destroy();
    });
    socket.on('error', reject);
  });

const folder = '/usr/local/lib/turned-clock';

/** Has these services of the machine go by a clock that can be turned. @returns what turns it */
export async function putClock(
  { root, run }: DebianMachine,
  time: ShiftedTime,
  units: string[],
): Promise<() => Promise<void>> {
  const turn = async () =>
    writeFile(join(root, folder, 'shift'), await readFile(`${time.env.SHIFT_FILE}`), { flag: 'r+' });
  await mkdir(join(root, folder));
  await copyFile(`${time.env.LD_PRELOAD}`, join(root, folder, 'shift.so'));
  await writeFile(join(root, folder, 'shift'), Buffer.alloc(8));
  const turned = `[Service]\nEnvironment=LD_PRELOAD=${folder}/shift.so SHIFT_FILE=${folder}/shift\n`;
  for (const unit of units) {
    await mkdir(join(root, `/etc/systemd/system/${unit}.d`), { recursive: true });
    await writeFile(join(root, `/etc/systemd/system/${unit}.d/clock.conf`), turned);
  }
  await run('systemctl daemon-reload');
  return turn;
}
