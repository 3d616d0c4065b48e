import assert from 'node:assert/strict';
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { VERSION } from '../../shared/base/version.ts';
import { assertChain } from '../support/chain.ts';
import { startChalltestsrv } from '../support/challtestsrv.ts';
import { makeCsr } from '../support/csr.ts';
import { startDebianMachine } from '../support/debian-machine.ts';
import { startPebble } from '../support/pebble.ts';
import { waitUntil } from '../support/wait-until.ts';

// What its users do with the package, on a machine whose process 1 is systemd.

/** @param handed the root to begin with, and the folder of the packages */
export async function liveInDebian({ base, packages }: { base: string; packages: string }): Promise<void> {
  const stack = new AsyncDisposableStack();
  after(() => stack.disposeAsync());
  // Who asks for a name, on the machine or at the CA, is led to this network's loopback.
  const { dnsServer, managementUrl } = stack.use(await startChalltestsrv({ dnsPort: 53 }));
  const pebble = stack.use(await startPebble({ httpPort: 80, dnsServer }));
  const machine = stack.use(await startDebianMachine(base, 'server'));
  const at = (path: string) => join(machine.root, path);
  const file = (path: string) => readFile(at(path), 'utf8');
  const isThere = async (path: string) => (await machine.try(`test -e ${path}`)).code === 0;
  for (const name of await readdir(packages))
    await copyFile(join(packages, name), join(machine.shared, name));
  const arch = (await machine.run('dpkg --print-architecture')).trim();
  const install = (version: string) =>
    machine.run(`apt-get install -q -y /mnt/shared/quarry_${version}_${arch}.deb`);
  const show = async (property: string) => (await machine.run(`systemctl show -P ${property} quarry`)).trim();
  const orders = () => pebble.requestLog().filter(line => line.includes('order-plz')).length;

  suite('the Debian package', () => {
    test('is installed by apt alone, on a machine without Node', async () => {
      assert.notEqual((await machine.try('command -v node')).code, 0);
      await install(VERSION);
      assert.equal(await machine.run('quarry --version'), `${VERSION}\n`);
      assert.match(await machine.run('getent passwd quarry'), /:\/var\/lib\/quarry:\S*nologin$/m);
      assert.match(
        await machine.run('stat -c "%a %U %n" /etc/quarry/credentials /var/lib/quarry'),
        /^700 root \/etc\/quarry\/credentials\n700 quarry \/var\/lib\/quarry\n$/,
      );
    });

    test('starts nothing by itself, and systemd finds no fault with its units', async () => {
      assert.equal((await machine.try('systemctl is-enabled quarry')).said, 'disabled\n');
      assert.equal(await show('ActiveState'), 'inactive');
      const units = 'quarry.service quarry@worker.service';
      const { code, said } = await machine.try(`systemd-analyze verify --man=no ${units}`);
      assert.deepEqual([code, said], [0, '']);
    });

    test('brings manuals, completions, licences and pages', async () => {
      const manual = await machine.run('zcat /usr/share/man/man1/quarry.1.gz');
      assert.ok(manual.includes('\n.B quarry up FILE…\n'), manual.slice(0, 500));
      assert.match(await machine.run('zcat /usr/share/man/man1/quarry-get.1.gz'), /\\-\\-reload|reload/);
      const sourced = 'bash -c ". /usr/share/bash-completion/completions/quarry; complete -p quarry"';
      assert.equal(await machine.run(sourced), 'complete -F _quarry quarry\n');
      assert.match(await file('usr/share/zsh/vendor-completions/_quarry'), /^#compdef quarry\n/);
      assert.match(await file('usr/share/fish/vendor_completions.d/quarry.fish'), /complete -c quarry/);
      assert.match(await file('usr/share/doc/quarry/copyright'), /^Files: usr\/lib\/quarry\/bin\/node$/m);
      assert.ok(await isThere('/usr/share/doc/quarry/services/docs/operation.md'));
    });

    test('says in one line what is missing where there is no configuration, and is not started again', async () => {
      const { code } = await machine.try('systemctl start quarry');
      assert.notEqual(code, 0);
      assert.deepEqual([await show('ActiveState'), await show('ExecMainStatus')], ['failed', '2']);
      assert.match(await machine.run('journalctl -o cat -u quarry'), /\/etc\/quarry\/main\.ini/);
      await machine.run('systemctl reset-failed quarry');
    });

    test('issues under systemd, shut in: with a secret that systemd hands in, port 80, a private Redis and a program', async () => {
      await copyFile(pebble.caFile, at('etc/quarry/ca.pem'));
      await chmod(at('etc/quarry/ca.pem'), 0o644);
      await writeFile(at('etc/quarry/credentials/web'), `${key}\n`, { mode: 0o600 });
      await mkdir(at('etc/quarry/programs'));
      await writeFile(at('etc/quarry/programs/txt'), program(managementUrl), { mode: 0o755 });
      await writeFile(at('etc/quarry/main.ini'), configuration(pebble.directoryUrl), { mode: 0o600 });
      await machine.run('chown quarry: /etc/quarry/main.ini');
      await machine.run(start);
      // Type=notify: it is active once it has said that it is ready.
      assert.deepEqual([await show('ActiveState'), await show('NRestarts')], ['active', '0']);
      assert.match(await show('StatusText'), /^ready/);
      for (const name of ['www.example.org', 'www.example.net']) {
        const { keyPem, csrFile } = await makeCsr({ names: [name] });
        await copyFile(csrFile, join(machine.shared, `${name}.csr`));
        const chain = await machine.run(post(name));
        assertChain(chain, { names: [name], keyPem, rootPem: await pebble.rootPem() });
      }
      await machine.run('systemctl reload quarry');
      // It is `reloading` until Quarry says that it has done so.
      await waitUntil('the reload to end', async () => (await show('ActiveState')) === 'active');
    });

    test('keeps all that is configured and stored over an upgrade, which restarts what runs', async () => {
      await writeFile(at('etc/default/quarry'), 'QUARRY_LOG=warn\n');
      const accountKey = await file('var/lib/quarry/account/account.pem');
      const [pid, before] = [await show('MainPID'), orders()];
      await install('0.9.9');
      assert.equal(await show('ActiveState'), 'active');
      assert.notEqual(await show('MainPID'), pid);
      assert.equal(await file('etc/default/quarry'), 'QUARRY_LOG=warn\n');
      assert.equal(await file('etc/quarry/main.ini'), configuration(pebble.directoryUrl));
      assert.equal(await file('var/lib/quarry/account/account.pem'), accountKey);
      assert.match(await machine.run(post('www.example.org')), /BEGIN CERTIFICATE/);
      assert.equal(orders(), before, 'it comes from storage');
    });

    test('leaves configuration and data where it is removed, and stops', async () => {
      const pid = await show('MainPID');
      await machine.run('apt-get remove -q -y quarry');
      assert.equal(await isThere(`/proc/${pid}`), false);
      assert.equal(await isThere('/usr/lib/quarry'), false);
      for (const path of ['/etc/quarry/main.ini', '/etc/quarry/credentials/web', '/etc/default/quarry'])
        assert.ok(await isThere(path), path);
      assert.ok(await isThere('/var/lib/quarry/account/account.pem'));
    });

    test('goes on from there when it is installed again', async () => {
      const before = orders();
      await install('0.9.9');
      await machine.run(start);
      assert.match(await machine.run(post('www.example.org')), /BEGIN CERTIFICATE/);
      assert.equal(orders(), before);
    });

    test('takes all that is its own away when it is purged, but nothing that others put beside it', async () => {
      await mkdir(at('etc/quarry/get.d'));
      await writeFile(at('etc/quarry/get.d/www.conf'), '');
      await machine.run('apt-get purge -q -y quarry');
      const paths = '/etc/quarry/* /etc/default/quarry /var/lib/quarry /usr/lib/quarry /usr/bin/quarry*';
      assert.equal(
        (await machine.try(`ls -d ${paths} 2>/dev/null`)).said,
        '/etc/quarry/ca.pem\n/etc/quarry/get.d\n/etc/quarry/programs\n',
      );
      assert.equal(await machine.run('systemctl --failed --plain --no-legend'), '');
    });
  });
}

/** What it says where it does not start tells more than what systemd says. */
const start = 'systemctl enable --now quarry || { journalctl -n 20 -o cat -u quarry; exit 1; }';

const key = 'the-key-of-the-package-0123456789';

/** What a host does: its names are those of the file. */
const post = (name: string) => `cd /mnt/shared
hash=$(openssl dgst -sha256 -hmac '${key}' ${name}.csr | sed 's/.*= *//')
curl -sS --fail-with-body --data-binary @${name}.csr -H "Authentication: hmac name=sha256, hash=$hash" http://127.0.0.1:1313/sign`;

/** As programs are that call a DNS provider's API. */
const program = (api: string) => `#!/bin/sh
curl -sSf -d "{\\"host\\":\\"$QUARRY_DNS_NAME.\\",\\"value\\":\\"$QUARRY_DNS_VALUE\\"}" ${api}/set-txt
`;

const configuration = (directoryUrl: string) => `[account]
acme-server = ${directoryUrl}
ca-file = /etc/quarry/ca.pem
accept-terms-of-service = yes
dir = account

[mgmt]
listener = 127.0.0.1:1313
default-storage = file

[redis]
dir = redis

[verification "http"]
type = http01
listener = 0.0.0.0:80

[verification "program"]
type = program
challenge = dns-01
command = programs/txt

[storage "file"]
type = file
directory = storage

[auth "http"]
hmac_type = sha256
hmac_key = \${credential:web}
domain = www.example.org
verification = http

[auth "program"]
hmac_type = sha256
hmac_key = \${credential:web}
domain = www.example.net
verification = program
`;
