import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bring, fromDebian } from '../support/bring.ts';
import { type Client, type Driver, type Ground, runClient } from './client.ts';
import { fill, shownBlocks } from './page.ts';

async function open(ground: Ground, program: string): Promise<Driver> {
  const { binding, dir } = ground;
  const [config = ''] = shownBlocks('dehydrated', 'bash');
  const [register = '', order = ''] = shownBlocks('dehydrated', 'sh');
  const file = join(dir, 'config');
  const withKey = binding ? config : config.replaceAll(/^EAB_.*\n/gm, '');
  // The account's key has 4096 bits otherwise, which takes seconds to find.
  await writeFile(file, `${fill(withKey, ground, [])}KEYSIZE="2048"\n`);

  async function run(block: string, names: string[] = []): Promise<void> {
    const command = fill(block, ground, names).replaceAll('dehydrated ', `'${program}' --config '${file}' `);
    await runClient('sh', ['-ec', command], { cwd: dir });
  }

  /** It has a name of its own for what begins with a wildcard. */
  const folderOf = ([name = '']: string[]) => join(dir, 'certs', name.replace('*.', ''));

  async function issue(names: string[], more = '') {
    if (!existsSync(join(dir, 'accounts'))) await run(register);
    const domains = names.map(name => `--domain '${name}'`).join(' ');
    const alias = names[0]?.startsWith('*.') ? `--alias ${names[0].slice(2)}` : '';
    await run(order.trim().replace('--domain www.example.org', `${domains} ${alias} ${more}`), names);
    const chain = await readFile(join(folderOf(names), 'fullchain.pem'), 'utf8');
    return { chain, keyPem: await readFile(join(folderOf(names), 'privkey.pem'), 'utf8') };
  }

  return {
    issue,
    renew: names => issue(names, '--force'),
    revoke: names => run(`dehydrated --revoke ${join(folderOf(names), 'cert.pem')}`, names),
  };
}

const noRenewalInfo = 'it knows no renewal information';

export const dehydrated: Client = {
  name: 'dehydrated 0.7.0',
  find: () => bring(fromDebian('dehydrated')),
  open,
  binds: true,
  lacks: {
    address: 'it takes none before 0.7.1',
    replaces: noRenewalInfo,
    'key change': 'it has no command for it',
    'mass revocation': noRenewalInfo,
  },
};
