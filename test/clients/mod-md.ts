import { existsSync } from 'node:fs';
import { chmod, copyFile, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { bring, fromDebianWithLibraries } from '../support/bring.ts';
import { freePorts } from '../support/free-port.ts';
import { type Process, startProcess } from '../support/processes.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Client, ClientFailure, type Driver, type Ground, type Issued } from './client.ts';
import { fill, shownBlocks } from './page.ts';

const modules = ['mpm_event', 'authz_core', 'ssl', 'md'];

/** Else it asks for renewal information once it has a certificate, and then not again for a minute. */
const unasked = 'MDRenewViaARI off';

/** By default it makes itself RSA keys, each of which takes longer than an order. */
const keyType = 'secp256r1';

/** Longer than a certificate lives, so that each one is due. */
const always = '100d';

/** What the log says of an order that failed, before the next try; and of one that did not. */
const failed = /AH10056: processing/;
const activated = /will be activated on next/;

/** Apache serves as nobody where it was started by root, and then mod_md asks as nobody, too. */
const user = process.getuid?.() === 0 ? 'User nobody\nGroup nogroup\n' : '';

async function open(ground: Ground, program: string): Promise<Driver> {
  const { binding } = ground;
  const [shown = ''] = shownBlocks('mod_md', 'apache');
  const { path: dir } = await tempDir();
  await chmod(dir, 0o755);
  const caFile = join(dir, 'ca.pem');
  await copyFile(ground.caFile, caFile);
  const moduleFolder = join(dirname(dirname(program)), 'usr/lib/apache2/modules');
  const [http, https] = (await freePorts(2)) as [number, number];
  let apache: Process | undefined;
  let runs = 0;
  let first: string | undefined;

  /** Each set of names has a store of its own, as Apache has all of its domains in one configuration. */
  const storeOf = ([name = '']: string[]) => join(dir, `store-${name.replace('*', 'any')}`);

  function configuration(names: string[], log: string, more: string): string {
    const withKey = binding ? shown : shown.replace(/^MDExternalAccountBinding .*\n/m, '');
    const [first = '', ...others] = names;
    const aliases = others.length > 0 ? `ServerAlias ${others.join(' ')}` : '';
    const block = fill(withKey, { ...ground, caFile }, names)
      .replace(`ServerName ${names.join(' ')}`, `ServerName ${first.replace('*', 'any')}\n${aliases}`)
      .replace('*:443', `*:${https}`)
      .replace(/^Listen .*\n/m, '');
    return `ServerRoot ${dir}
DefaultRuntimeDir ${dir}
PidFile pid
ServerName localhost
${user}ErrorLog ${log}
LogLevel notice
Listen 127.0.0.1:${http}
Listen 127.0.0.1:${https} https
${modules.map(name => `LoadModule ${name}_module ${moduleFolder}/mod_${name}.so`).join('\n')}
MDStoreDir ${storeOf(names)}
MDPortMap http:${http} https:${https}
MDCheckInterval 1s
MDRetryDelay 1s
MDPrivateKeys ${keyType}
${more}
${block}`;
  }

  /** A new store begins with the account of another one, and with what its key is encrypted with. */
  async function makeStore(names: string[]): Promise<void> {
    const store = storeOf(names);
    if (first !== undefined && !existsSync(store))
      for (const part of ['md_store.json', 'accounts'])
        await cp(join(first, part), join(store, part), { recursive: true, preserveTimestamps: true });
    first ??= store;
  }

  async function stop(): Promise<void> {
    await apache?.stop();
    apache = undefined;
  }

  /** Runs Apache until it has something new, and has it used. */
  async function serve(names: string[], more = ''): Promise<Issued> {
    await stop();
    await makeStore(names);
    const log = join(dir, `error-${++runs}.log`);
    await writeFile(join(dir, 'httpd.conf'), configuration(names, log, more));
    const said = async () => (existsSync(log) ? await readFile(log, 'utf8') : '');
    const isServing = (times: number) => async () =>
      (await said()).split('resuming normal operations').length > times;
    apache = await startProcess(program, ['-f', join(dir, 'httpd.conf'), '-DFOREGROUND'], {
      name: 'apache2',
      ready: isServing(1),
    });
    await waitUntil(`mod_md to have a certificate for ${names}`, async () => {
      const log = await said();
      return failed.test(log) || activated.test(log);
    });
    if (!activated.test(await said())) throw new ClientFailure('apache2', await said());
    process.kill(apache.pid, 'SIGUSR1'); // apachectl graceful
    await waitUntil('Apache to be restarted', isServing(2));
    return await read(names);
  }

  async function read(names: string[]): Promise<Issued> {
    const folder = join(storeOf(names), 'domains', names[0] ?? '');
    const chain = await readFile(join(folder, `pubcert.${keyType}.pem`), 'utf8');
    return { chain, keyPem: await readFile(join(folder, `privkey.${keyType}.pem`), 'utf8') };
  }

  await mkdir(join(dir, 'www'));
  return {
    issue: names => serve(names, unasked),
    renew: names => serve(names, `${unasked}\nMDRenewWindow ${always}`),
    renewWhenTold: names => serve(names),
    stop,
  };
}

export const modMd: Client = {
  name: 'mod_md 2.6',
  find: () => bring(fromDebianWithLibraries('apache2-bin', 'usr/sbin/apache2')),
  open,
  binds: true,
  replacesWhenTold: true,
  lacks: {
    address: 'it takes DNS names alone',
    revocation: 'it has no command for it',
    'key change': 'it has no command for it',
  },
};
