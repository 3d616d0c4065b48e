import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bring, fromDebian } from '../support/bring.ts';
import { freePorts } from '../support/free-port.ts';
import { type Process, startProcess } from '../support/processes.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Client, ClientFailure, type Driver, type Ground, type Issued } from './client.ts';
import { fill, shownBlocks } from './page.ts';
import { findSlowClient } from './programs.ts';

/** Caddy of any version. It renews in its own time, so it is told to look each second. */
export async function openCaddy(ground: Ground, program: string): Promise<Driver> {
  const { binding, dir } = ground;
  const [shown = ''] = shownBlocks('Caddy', 'caddyfile');
  const store = join(dir, 'caddy');
  const [http, https] = (await freePorts(2)) as [number, number];
  let caddy: Process | undefined;

  const ofTest = `{
	admin off
	http_port ${http}
	https_port ${https}
	storage file_system ${store}
	renew_interval 1s
	skip_install_trust
`;

  async function start(names: string[]): Promise<void> {
    await stop();
    const withKey = binding ? shown : shown.replace(/^\tacme_eab \{[^}]*\}\n/m, '');
    const file = fill(withKey, ground, names).replace('{\n', ofTest);
    await writeFile(join(dir, 'Caddyfile'), file);
    caddy = await startProcess(
      program,
      ['run', '--adapter', 'caddyfile', '--config', join(dir, 'Caddyfile')],
      {
        name: 'caddy',
        env: { HOME: dir, XDG_CONFIG_HOME: dir, XDG_DATA_HOME: dir },
        cwd: dir,
        ready: /serving initial configuration/,
      },
    );
  }

  async function stop(): Promise<void> {
    await caddy?.stop();
    caddy = undefined;
  }

  /** The folder of a name's certificate, whatever Caddy calls the CA that it is from. */
  async function folderOf(name: string): Promise<string | undefined> {
    const issuers = join(store, 'certificates');
    const folder = name.replace('*', 'wildcard_');
    const cas = existsSync(issuers) ? await readdir(issuers) : [];
    return cas.map(ca => join(issuers, ca, folder)).find(one => existsSync(join(one, `${folder}.json`)));
  }

  async function read(name: string): Promise<Issued | undefined> {
    const folder = await folderOf(name);
    if (folder === undefined) return undefined;
    const base = join(folder, name.replace('*', 'wildcard_'));
    return { chain: await readFile(`${base}.crt`, 'utf8'), keyPem: await readFile(`${base}.key`, 'utf8') };
  }

  /** Waits until there is a certificate other than the one before, or until Caddy says why there is none. */
  async function next(name: string, before?: string): Promise<Issued> {
    let issued: Issued | undefined;
    await waitUntil(`Caddy to have a certificate for ${name}`, async () => {
      issued = await read(name);
      const failed = /could not get certificate from issuer/.test(caddy?.output() ?? '');
      return failed || (issued !== undefined && issued.chain !== before);
    });
    if (!issued || issued.chain === before) throw new ClientFailure('caddy run', caddy?.output() ?? '');
    return issued;
  }

  return {
    async issue(names) {
      await start(names);
      return await next(names[0] ?? '');
    },
    async renewWhenTold([name = '']) {
      const before = await read(name);
      return await next(name, before?.chain); // It asks once a minute.
    },
    stop,
  };
}

export const caddyLacks: Client['lacks'] = {
  address: 'it has a CA of its own for addresses that are not public',
  'several names': 'it orders a certificate for each name',
  renewal: 'it renews by itself, and not when somebody asks',
  replaces: 'it does not say what a new certificate replaces',
  revocation: 'it has no command for it',
  'key change': 'it has no command for it',
};

export const caddy: Client = {
  name: 'Caddy 2.11',
  find: () => findSlowClient('caddy'),
  open: openCaddy,
  binds: true,
  lacks: caddyLacks,
};

export const debianCaddy: Client = {
  name: 'Caddy 2.6',
  find: () => bring(fromDebian('caddy')),
  open: openCaddy,
  binds: true,
  lacks: { ...caddyLacks, 'mass revocation': 'it knows no renewal information before 2.8' },
};
