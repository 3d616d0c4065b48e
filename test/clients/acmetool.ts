import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bring, fromDebian } from '../support/bring.ts';
import { type Client, type Driver, type Ground, runClient } from './client.ts';
import { fill, shownBlocks } from './page.ts';

/** Days; more than a certificate lives, so that each one is due. */
const always = 100;

async function open(ground: Ground, program: string): Promise<Driver> {
  const { caFile, dir } = ground;
  const [target = ''] = shownBlocks('acmetool', 'yaml');
  const [order = ''] = shownBlocks('acmetool', 'sh');
  const targetFile = join(dir, 'conf/target');
  await mkdir(join(dir, 'conf'), { recursive: true });
  await writeFile(targetFile, fill(target, ground, []));

  async function run(block: string, names: string[] = []): Promise<void> {
    const command = fill(block, ground, names).replace('acmetool ', `'${program}' `);
    const env = { ACME_STATE_DIR: dir, ACME_HOOKS_DIR: join(dir, 'hooks'), SSL_CERT_FILE: caFile };
    await runClient('sh', ['-ec', command], { cwd: dir, env });
  }

  async function read([name = '']: string[]) {
    const live = join(dir, 'live', name);
    assertThere(live);
    const chain = await readFile(join(live, 'fullchain'), 'utf8');
    return { chain, keyPem: await readFile(join(live, 'privkey'), 'utf8') };
  }

  return {
    async issue(names) {
      await run(order, names);
      return await read(names);
    },
    async renew(names) {
      const due = join(dir, 'desired', names[0] ?? '');
      const wanted = await readFile(due, 'utf8');
      await writeFile(due, `${wanted}request:\n  margin: ${always}\n`);
      await run('acmetool --batch reconcile');
      await writeFile(due, wanted);
      return await read(names);
    },
    revoke: ([name = '']) => run(`acmetool --batch revoke ${join(dir, 'live', name)}`),
  };
}

function assertThere(folder: string): void {
  if (!existsSync(folder)) throw new Error(`acmetool made no ${folder}`);
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
    'key change': 'it has no command for it',
    'mass revocation': noRenewalInfo,
  },
};
