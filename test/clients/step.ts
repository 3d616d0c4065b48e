import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, type Driver, type Ground, runClient } from './client.ts';
import { fill, shownBlocks } from './page.ts';
import { findSlowClient } from './programs.ts';

const shortPatience = 'it waits 10 s after finalizing';
const ownCaOnly = 'it does that only at a step-ca';

async function open(ground: Ground, program: string): Promise<Driver> {
  const { dir } = ground;
  const [shown = ''] = shownBlocks('step', 'sh');

  async function issue(names: string[]) {
    const command = fill(shown, ground, names.slice(0, 1)).replaceAll('step ca', `'${program}' ca`);
    const more = names.slice(1).map(name => ` --san ${name}`);
    await runClient('sh', ['-ec', `${command.trimEnd()} --force --san ${names[0]}${more.join('')}`], {
      cwd: dir,
    });
    return {
      chain: await readFile(join(dir, 'www.crt'), 'utf8'),
      keyPem: await readFile(join(dir, 'www.key'), 'utf8'),
    };
  }

  return { issue, renew: issue };
}

export const step: Client = {
  name: 'step 0.30',
  find: () => findSlowClient('step'),
  open,
  binds: false,
  lacks: {
    'external account binding': 'it has no option for it',
    wildcard: 'it refuses wildcards itself, as it knows no dns-01',
    replaces: 'it knows no renewal information',
    revocation: ownCaOnly,
    'key change': 'it makes a new account for each certificate',
    'a slow CA': shortPatience,
    'mass revocation': 'it knows no renewal information',
  },
};
