import { mkdir, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bring, fromDebian } from '../support/bring.ts';
import { type Client, type Driver, type Ground, runClient } from './client.ts';
import { fill, shownBlocks } from './page.ts';

async function open(ground: Ground, program: string): Promise<Driver> {
  const { caFile, dir } = ground;
  const [target = '', responses = ''] = shownBlocks('acmetool', 'yaml');
  const [order = ''] = shownBlocks('acmetool', 'sh');
  await mkdir(join(dir, 'conf'), { recursive: true });
  await writeFile(join(dir, 'conf/target'), fill(target, ground, []));
  await writeFile(join(dir, 'conf/responses'), responses);

  async function run(block: string, names: string[] = []): Promise<void> {
    const command = fill(block, ground, names).replace('acmetool ', `'${program}' `);
    const env = { ACME_STATE_DIR: dir, ACME_HOOKS_DIR: join(dir, 'hooks'), SSL_CERT_FILE: caFile };
    await runClient('sh', ['-ec', command], { cwd: dir, env });
  }

  async function read([name = '']: string[]) {
    const live = join(dir, 'live', name);
    const chain = await readFile(join(live, 'fullchain'), 'utf8');
    return { chain, keyPem: await readFile(join(live, 'privkey'), 'utf8') };
  }

  /** It has a file for each set of names, and tries all of them at each run. */
  async function wantedFile([name = '']: string[]): Promise<string> {
    const desired = join(dir, 'desired');
    const file = (await readdir(desired)).find(one => one.startsWith(`${name}-`));
    if (!file) throw new Error(`acmetool has no file for ${name}`);
    return join(desired, file);
  }

  return {
    async issue(names) {
      try {
        await run(order, names);
      } catch (error) {
        await rm(await wantedFile(names));
        throw error;
      }
      return await read(names);
    },
    async renew(names) {
      // It has no force; without the certificate it gets another one.
      await rm(await realpath(join(dir, 'live', names[0] ?? '')), { recursive: true });
      await run('acmetool --batch reconcile');
      return await read(names);
    },
  };
}

const noRenewalInfo = 'it knows no renewal information';

export const acmetool: Client = {
  name: 'acmetool 0.2',
  find: () => bring(fromDebian('acmetool')),
  open,
  binds: false,
  lacks: {
    'external account binding': 'it has no option for it',
    address: 'it takes DNS names alone',
    replaces: noRenewalInfo,
    revocation: 'its command only makes a note of it, which no run acts upon',
    'key change': 'it has no command for it',
    'mass revocation': noRenewalInfo,
  },
};
