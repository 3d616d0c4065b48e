import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bring, fromDebianWithLibraries } from '../support/bring.ts';
import { type Client, type Driver, type Ground, runClient } from './client.ts';
import { fill, shownBlocks } from './page.ts';
import { findSystemTrust, trustAsSystem } from './system-trust.ts';

async function open(ground: Ground, program: string): Promise<Driver> {
  const { binding, caFile, dir } = ground;
  const [register = '', order = ''] = shownBlocks('uacme', 'sh');

  async function run(block: string, names: string[] = []): Promise<void> {
    const withKey = binding ? block : block.replace(' --eab web:EAB_KEY', '');
    const line = fill(withKey, ground, names).replaceAll('uacme ', `'${program}' `);
    const [command, args] = trustAsSystem(caFile, ['sh', '-ec', line]);
    await runClient(command, args, { cwd: dir });
  }

  /** It leaves a wildcard's asterisk out. */
  const folderOf = ([name = '']: string[]) => name.replace('*.', '');

  async function issue(names: string[], more = '') {
    if (!existsSync(join(dir, 'private'))) await run(register);
    // RSA keys, its default, take longer than their orders.
    await run(order.replace(' issue ', ` --type EC ${more} issue `), names);
    const chain = await readFile(join(dir, folderOf(names), 'cert.pem'), 'utf8');
    return { chain, keyPem: await readFile(join(dir, 'private', folderOf(names), 'key.pem'), 'utf8') };
  }

  const [common = ''] = /^.*(?= issue )/m.exec(order) ?? [];
  return {
    issue,
    renew: names => issue(names, '--force'),
    revoke: names => run(`${common} revoke ${join(dir, folderOf(names), 'cert.pem')}`),
    changeKey: () => run(`${common} newkey`),
  };
}

const noRenewalInfo = 'it knows no renewal information before 1.8';

export const uacme: Client = {
  name: 'uacme 1.7',
  async find() {
    const missing = findSystemTrust();
    return missing ?? bring(fromDebianWithLibraries('uacme', 'usr/bin/uacme'));
  },
  open,
  binds: true,
  lacks: { replaces: noRenewalInfo, 'mass revocation': noRenewalInfo },
};
