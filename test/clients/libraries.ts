import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, type Driver, type Ground, type Issued, runClient } from './client.ts';
import { findGoLibraries, findSlowClient } from './programs.ts';

// Libraries, by the programs of test/clients/go and rust. Traefik's ACME is lego, cert-manager's a copy of
// golang.org/x/crypto's.

/** @param args what the program wants before the command */
const library = (...args: string[]) =>
  async function open({ directoryUrl, caFile, binding, dir }: Ground, program: string): Promise<Driver> {
    const env = {
      ACME_DIRECTORY: directoryUrl,
      ACME_CA_FILE: caFile,
      EAB_KID: binding?.kid,
      EAB_KEY: binding?.key,
    };
    const run = async (...command: string[]) =>
      void (await runClient(program, [...args, ...command], { cwd: dir, env }));
    const read = async (): Promise<Issued> => ({
      chain: await readFile(join(dir, 'cert.pem'), 'utf8'),
      keyPem: await readFile(join(dir, 'key.pem'), 'utf8'),
    });
    return {
      issue: names => run('issue', ...names).then(read),
      renew: names => run('renew', ...names).then(read),
      renewWhenTold: names => run('replace-when-told', ...names).then(read),
      revoke: () => run('revoke'),
      changeKey: () => run('key-change'),
    };
  };

const noRenewalInformation = 'the library knows no renewal information';

export const lego5: Client = {
  name: 'lego 5 (library)',
  find: findGoLibraries,
  open: library('lego'),
  binds: true,
  lacks: {},
};

export const xCrypto: Client = {
  name: 'golang.org/x/crypto/acme',
  find: findGoLibraries,
  open: library('xcrypto'),
  binds: true,
  lacks: { replaces: noRenewalInformation, 'mass revocation': noRenewalInformation },
};

export const instantAcme: Client = {
  name: 'instant-acme 0.8 (Rust)',
  find: () => findSlowClient('instantAcme'),
  open: library(),
  binds: true,
  lacks: {},
};
