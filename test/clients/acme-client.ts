import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, type Driver, type Ground, type Issued, runClient } from './client.ts';
import { fill, shownBlocks } from './page.ts';

// acme-client of npm, stock, as other programs of Node use it; our own way to a CA is another one.

const modules = join(import.meta.dirname, '../../node_modules');

/** What the page does not show: what else the library has, after its `client` is made. */
const more = {
  revoke: "await client.createAccount();\nawait client.revokeCertificate(readFileSync('www.crt', 'utf8'));\n",
  changeKey: `await client.createAccount();
const next = await acme.crypto.createPrivateEcdsaKey();
await client.updateAccountKey(next);
writeFileSync('account.key', next);
`,
};

async function open(ground: Ground): Promise<Driver> {
  const { binding, caFile, dir } = ground;
  const [block = ''] = shownBlocks('acme-client', 'js');
  const shown = binding ? block : block.replace(/^ *externalAccountBinding: .*\n/m, '');
  const [made = ''] = /^[\s\S]*?\n}\);\n/.exec(shown) ?? [];
  await symlink(modules, join(dir, 'node_modules'));

  async function run(script: string, names: string[]): Promise<void> {
    const listed = names.map(name => `'${name}'`).join(', ');
    const text = fill(script.replaceAll("'www.example.org'", listed), ground, []);
    await writeFile(join(dir, 'run.mjs'), text);
    await runClient(process.execPath, ['run.mjs'], { cwd: dir, env: { NODE_EXTRA_CA_CERTS: caFile } });
  }

  async function issue(names: string[]): Promise<Issued> {
    await run(shown, names);
    return {
      chain: await readFile(join(dir, 'www.crt'), 'utf8'),
      keyPem: await readFile(join(dir, 'www.key'), 'utf8'),
    };
  }

  return {
    issue,
    renew: issue,
    revoke: names => run(made + more.revoke, names),
    changeKey: () => run(made + more.changeKey, []),
  };
}

export const acmeClient: Client = {
  name: 'acme-client 5 (npm)',
  find: async () => ({ path: process.execPath }),
  open,
  binds: true,
  lacks: {
    address: 'its auto sends addresses as names',
    replaces: 'it knows no renewal information',
    'mass revocation': 'it knows no renewal information',
  },
};
