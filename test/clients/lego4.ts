import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { bring, fromDebian } from '../support/bring.ts';
import { type Client, type Driver, type Ground, runClient } from './client.ts';
import { fill, shownBlocks } from './page.ts';

async function open(ground: Ground, program: string): Promise<Driver> {
  const { binding, dir } = ground;
  const [shown = ''] = shownBlocks('lego 4', 'sh');
  const command = binding ? shown : shown.replace('--eab --kid web --hmac EAB_KEY ', '');

  async function run(what: string, names: string[]): Promise<void> {
    const domains = names.map(name => `--domains '${name}'`).join(' ');
    const line = command.replace('--domains www.example.org run', `${domains} ${what}`);
    const env = { PATH: `${dirname(program)}:${process.env.PATH}` };
    await runClient('sh', ['-ec', fill(line, ground, names)], { cwd: dir, env });
  }

  async function runAndRead(what: string, names: string[]) {
    await run(what, names);
    const base = join(dir, 'certificates', (names[0] ?? '').replace('*', '_'));
    const chain = await readFile(`${base}.crt`, 'utf8');
    return { chain, keyPem: await readFile(`${base}.key`, 'utf8') };
  }

  return {
    issue: names => runAndRead('run', names),
    renew: names => runAndRead('renew --days 100 --no-random-sleep', names),
    revoke: names => run('revoke', names),
  };
}

const noRenewalInfo = 'it knows no renewal information before 4.14';

export const lego4: Client = {
  name: 'lego 4.9',
  find: () => bring(fromDebian('lego')),
  open,
  binds: true,
  lacks: {
    address: 'it orders an address as if it were a DNS name',
    replaces: noRenewalInfo,
    'key change': 'it has no command for it',
    'mass revocation': noRenewalInfo,
  },
};
