import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { bring, fromPip } from '../support/bring.ts';
import { type Client, type Driver, type Ground, runClient } from './client.ts';
import { fill, shownBlocks } from './page.ts';

async function open(ground: Ground, program: string): Promise<Driver> {
  const { dir } = ground;
  const [keys = '', order = ''] = shownBlocks('acme-tiny', 'sh');

  async function run(block: string, names: string[]): Promise<void> {
    const asked = block.replace('DNS:www.example.org', names.map(name => `DNS:${name}`).join(','));
    const env = { PATH: `${dirname(program)}:${process.env.PATH}` };
    await runClient('sh', ['-ec', fill(asked, ground, names)], { cwd: dir, env });
  }

  async function issue(names: string[]) {
    if (!existsSync(join(dir, 'account.key'))) await run(keys, names);
    await run(order, names);
    const chain = await readFile(join(dir, 'www.crt'), 'utf8');
    return { chain, keyPem: await readFile(join(dir, 'www.key'), 'utf8') };
  }

  return { issue, renew: issue };
}

const noCommand = 'it only issues';
const noRenewalInfo = 'it knows no renewal information';

export const acmeTiny: Client = {
  name: 'acme-tiny 5.0',
  find: () => bring(fromPip('acme-tiny-5.0.3', ['acme-tiny==5.0.3'], 'bin/acme-tiny')),
  open,
  binds: false,
  lacks: {
    'external account binding': 'it has no option for it',
    address: 'it reads only the DNS names of a CSR',
    replaces: noRenewalInfo,
    revocation: noCommand,
    'key change': noCommand,
    'mass revocation': noRenewalInfo,
  },
};
