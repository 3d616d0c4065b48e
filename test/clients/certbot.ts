import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { dirname, join } from 'node:path';
import { bring, fromPip } from '../support/bring.ts';
import { type Client, type Driver, type Ground, runClient } from './client.ts';
import { fill, shownBlocks } from './page.ts';

const option = (name: string) => `${isIP(name) ? '--ip-address' : '--domain'} ${name}`;

async function open(ground: Ground, program: string): Promise<Driver> {
  const { binding, dir } = ground;
  const [shown = ''] = shownBlocks('certbot', 'sh');
  const ownFolders = ['config', 'work', 'logs'].map(one => `--${one}-dir ${join(dir, one)}`).join(' ');
  const [trust = '', ...command] = shown.split('\n');

  /** The first line of the page, and then this, as a person would type it. */
  async function run(line: string, names: string[]): Promise<void> {
    const filled = fill(`${trust}\n${line}`, ground, names).replace('certbot', `certbot ${ownFolders}`);
    const PATH = `${dirname(program)}:${process.env.PATH}`;
    await runClient('sh', ['-ec', filled], { cwd: dir, env: { PATH, XDG_CONFIG_HOME: undefined } });
  }

  async function issue(names: string[]) {
    const withKey = command.join('\n').replace('--domain www.example.org', names.map(option).join(' '));
    await run(binding ? withKey : withKey.replace('--eab-kid web --eab-hmac-key EAB_KEY', ''), names);
    return await read(names);
  }

  async function read([name = '']: string[]) {
    const live = join(dir, 'config/live', name.replace('*.', ''));
    const chain = await readFile(join(live, 'fullchain.pem'), 'utf8');
    return { chain, keyPem: await readFile(join(live, 'privkey.pem'), 'utf8') };
  }

  return {
    issue,
    async renew(names) {
      await run(`certbot renew --no-random-sleep-on-renew --force-renewal --cert-name ${names[0]}`, names);
      return await read(names);
    },
    async renewWhenTold(names) {
      await run('certbot renew --no-random-sleep-on-renew', names);
      return await read(names);
    },
    revoke: names => run(`certbot revoke --non-interactive --cert-name ${names[0]}`, names),
  };
}

export const certbot: Client = {
  name: 'certbot 5.8',
  find: () => bring(fromPip('certbot-5.8.0', ['certbot==5.8.0'], 'bin/certbot')),
  open,
  binds: true,
  lacks: {
    replaces: 'it does not say what a new certificate replaces',
    'key change': 'it has no command for it',
  },
};
