import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { lockDirectory } from '../../shared/base/directory-lock.ts';
import { generateKeyPem } from '../../shared/pki/private-key.ts';
import { describeShaman } from '../../shared/shaman/describe-shaman.ts';
import { leafNames } from '../support/chain.ts';
import { thumbprint } from '../support/fleet.ts';
import { type Json, type ShamanDirectory, startShamanGround } from '../support/shaman-ground.ts';
import { waitUntil } from '../support/wait-until.ts';

const ground = await startShamanGround({
  profiles: { default: { description: '90 days', validityPeriod: 90 * 86_400 } },
});
after(() => ground[Symbol.asyncDispose]());
afterEach(() => ground.ca.clearRules());

const { ca, pebble, webroot } = ground;

const prove = { authenticators: { 'http-01': 'prove-challenge' } };
const withDomains = (domains: Record<string, Json>, more: Json = {}) =>
  ground.directory({ ...prove, ...more, domains });

const leafOf = async (directory: ShamanDirectory, name: string) =>
  new X509Certificate(await directory.text(`${name}.cert.pub.pem`));

const orders = (name: string) =>
  ca.requests().filter(one => one.kind === 'newOrder' && one.identifiers?.some(({ value }) => value === name))
    .length;

/**
 * Authenticators of dns-01: what they are told in their environment goes to Pebble's DNS server, and away
 * again.
 */
async function addDnsPrograms(directory: ShamanDirectory): Promise<void> {
  const post = (path: string, body: string) => `#!/bin/sh
echo "${path} $QUARRY_DNS_NAME" >> ${directory.path}/said
exec curl -sSf ${pebble.challtestsrvUrl}/${path} -d '${body}' >&2
`;
  await directory.program(
    'add',
    post('set-txt', '{"host": "\'$QUARRY_DNS_NAME\'.", "value": "\'$QUARRY_DNS_VALUE\'"}'),
  );
  await directory.program('remove', post('clear-txt', '{"host": "\'$QUARRY_DNS_NAME\'."}'));
}

test('shaman has more names in a certificate, wildcards among them, with a key of another type and a cleanup', async () => {
  const name = 'names.example';
  const directory = await ground.directory({
    authenticators: { 'http-01': '/nonexistent/program' },
    domains: {
      [name]: {
        ...{ names: ['*.sub.names.example'], key_type: 'RSA2048' },
        authenticators: { 'dns-01': { present: 'add', cleanup: './remove' } },
      },
    },
  });
  // A domain's own authenticators go first, and here they are all that is needed; the other is not there.
  await addDnsPrograms(directory);
  const first = await ground.run(directory);
  assert.equal(first.code, 1);
  assert.match(
    first.stdout,
    /^ERROR names\.example: \/nonexistent\/program cannot be run: no such file or directory$/m,
  );
  await directory.write({ ...(await directory.json()), authenticators: {} });
  const { code, stdout } = await ground.run(directory);
  assert.equal(code, 0, stdout);
  const leaf = await leafOf(directory, name);
  assert.deepEqual(leafNames(leaf), ['*.sub.names.example', name].sort());
  assert.equal(leaf.publicKey.asymmetricKeyDetails?.modulusLength, 2048);
  const said = (await directory.text('said')).trim().split('\n').sort();
  const records = ['_acme-challenge.names.example', '_acme-challenge.sub.names.example'];
  assert.deepEqual(said, [
    ...records.map(one => `clear-txt ${one}`),
    ...records.map(one => `set-txt ${one}`),
  ]);
});

test('shaman orders anew when names are added', async () => {
  const name = 'added.example';
  const directory = await withDomains({ [name]: {} });
  assert.equal((await ground.run(directory)).code, 0);
  await directory.write({
    ...(await directory.json()),
    domains: { [name]: { names: ['127.0.0.1'], ...(await directory.json()).domains[name] } },
  });
  const { code, stdout } = await ground.run(directory);
  assert.equal(code, 0, stdout);
  assert.match(stdout, /added\.example: to be ordered: 127\.0\.0\.1 is not in it/);
  assert.deepEqual(leafNames(await leafOf(directory, name)), ['127.0.0.1', name]);
  assert.equal(orders(name), 2);
});

test('shaman runs deploy once a new certificate is on disk, and again in the next run when it failed', async () => {
  const name = 'deploy.example';
  const directory = await withDomains({ [name]: { deploy: 'deploy', names: ['www.deploy.example'] } });
  await directory.program('deploy', '#!/bin/sh\necho "the server does not reload" >&2\nexit 3\n');
  const { code, stdout, stderr } = await ground.run(directory);
  assert.equal(code, 1);
  assert.match(
    stdout,
    /^ERROR deploy\.example: deploy: ended with exit code 3: the server does not reload$/m,
  );
  assert.equal(stderr, 'quarry: failed: deploy.example\n');
  assert.equal((await describeShaman(directory.path))[0]?.undeployed, true);

  await directory.program(
    'deploy',
    '#!/bin/sh\nenv | grep QUARRY_ | sort > told\ncat "$QUARRY_CERTIFICATE" > live.pem\n',
  );
  assert.equal((await ground.run(directory)).code, 0);
  assert.equal(await directory.text('live.pem'), await directory.text(`${name}.cert.pub.pem`));
  assert.equal(
    await directory.text('told'),
    `QUARRY_CERTIFICATE=${directory.path}/${name}.cert.pub.pem
QUARRY_DOMAIN=${name}
QUARRY_KEY=${directory.path}/${name}.key.priv.pem
QUARRY_NAMES=${name} www.deploy.example
`,
  );
  await directory.program('deploy', '#!/bin/sh\nexit 1\n');
  assert.equal((await ground.run(directory)).code, 0, 'it is not run without a new certificate');
  assert.equal(orders(name), 1);
});

test('shaman goes on with the other domains when one fails, and ends with 1', async () => {
  const directory = await withDomains({
    'blocked-domain.example': {},
    'broken.example': { authenticators: { 'http-01': 'broken' } },
    'good.example': {},
  });
  await directory.program(
    'broken',
    '#!/bin/sh\nread token\nread key\necho "no room for $key" >&2\nexit 28\n',
  );
  const { code, stdout, stderr } = await ground.run(directory);
  assert.equal(code, 1);
  assert.equal(stderr, 'quarry: failed: blocked-domain.example, broken.example\n');
  assert.match(stdout, /^ERROR blocked-domain\.example: the CA refused: .*/m);
  assert.match(stdout, /^ERROR broken\.example: .*exit code 28: no room for /m);
  assert.match(stdout, /^INFO good\.example: certificate /m);
  assert.ok(
    !stdout.includes(thumbprint(await directory.text('account.key.priv.pem'))),
    'no key authorization is told',
  );
  const [, broken] = await describeShaman(directory.path);
  assert.deepEqual([broken?.failures?.count, broken?.name], [1, 'broken.example']);

  // The order is still good, and is gone on with once the program is mended.
  await directory.program('broken', await directory.text('prove-challenge'));
  assert.match((await ground.run(directory)).stdout, /^INFO broken\.example: certificate /m);
  assert.equal(orders('broken.example'), 1);
  assert.equal((await describeShaman(directory.path))[1]?.failures, undefined);
});

test('shaman makes a new order where the last one is invalid, and where the CA does not know it', async () => {
  const name = 'invalid.example';
  const directory = await withDomains({ [name]: { authenticators: { 'http-01': 'lie' } } });
  await directory.program('lie', '#!/bin/sh\nexit 0\n');
  const { code, stdout } = await ground.run(directory);
  assert.equal(code, 1);
  assert.match(stdout, /^ERROR invalid\.example: (?!invalid\.example).*404/m);
  const json = await directory.json();
  assert.equal(json.domains[name]?.order_id ?? undefined, undefined, 'it is forgotten');
  const [, url] = /^INFO invalid\.example: order (\S+my-order\S+)$/m.exec(stdout) ?? [];
  assert.ok(url, stdout);
  // As concorde leaves it, or a run that was killed.
  json.domains[name] = { ...json.domains[name], authenticators: {}, order_id: url };
  json.domains['unknown.example'] = { order_id: `${new URL(ca.directoryUrl).origin}/my-order/none` };
  await directory.write(json);
  const again = await ground.run(directory);
  assert.equal(again.code, 0, again.stdout);
  assert.match(again.stdout, /^INFO invalid\.example: order \S+ is of no use any more$/m);
  assert.deepEqual([orders(name), orders('unknown.example')], [2, 1]);
});

test('shaman puts the certificate on disk again where the file is damaged or lost', async () => {
  const name = 'lost.example';
  const directory = await withDomains({ [name]: {} });
  assert.equal((await ground.run(directory)).code, 0);
  const chain = await directory.text(`${name}.cert.pub.pem`);
  await writeFile(join(directory.path, `${name}.cert.pub.pem`), 'damaged');
  assert.match(
    (await ground.run(directory)).stdout,
    /^INFO lost\.example: wrote lost\.example\.cert\.pub\.pem$/m,
  );
  assert.equal(await directory.text(`${name}.cert.pub.pem`), chain);
  assert.equal(orders(name), 1);
});

test('shaman never writes over a key that is there already', async () => {
  const name = 'keyed.example';
  const directory = await withDomains({ [name]: { key_type: 'SECP256R1' } });
  await writeFile(join(directory.path, `${name}.key.priv.pem`), await generateKeyPem('P-384'));
  const { code, stdout } = await ground.run(directory);
  assert.equal(code, 1);
  assert.match(
    stdout,
    /keyed\.example\.key\.priv\.pem is there already and holds another key \(P-384\): move it away$/m,
  );
  assert.equal(orders(name), 0);
});

test('shaman does not begin while another run is at work in the directory', async () => {
  const directory = await withDomains({ 'locked.example': {} });
  await using lock = await lockDirectory(directory.path);
  assert.ok(lock);
  const { code, stderr } = await ground.run(directory);
  assert.deepEqual([code, stderr], [1, `quarry: another run is at work in ${directory.path}\n`]);
  assert.equal(orders('locked.example'), 0);
});

test('shaman that is stopped takes back what it presented and ends with 1, and the next run goes on with the same order', async () => {
  const name = 'stopped.example';
  const directory = await withDomains({
    [name]: { authenticators: { 'http-01': { present: 'slow', cleanup: 'clean' } } },
  });
  await directory.program('clean', `#!/bin/sh\nrm ${webroot}/begun\n`);
  await directory.program('slow', `#!/bin/sh\necho > ${webroot}/begun\nexec sleep 600\n`);
  const { child, ended } = ground.start(directory);
  await waitUntil('the authenticator to run', async () => (await readdir(webroot)).includes('begun'));
  child.kill('SIGTERM');
  const { code, stdout, stderr } = await ended;
  assert.equal(code, 1);
  assert.match(stdout, /^CRITICAL stopped by SIGTERM; the next run goes on from here$/m);
  assert.equal(stderr, 'quarry: stopped by SIGTERM; the next run goes on from here\n');
  assert.ok(!(await readdir(webroot)).includes('begun'));
  await directory.program('slow', await directory.text('prove-challenge'));
  assert.equal((await ground.run(directory)).code, 0);
  assert.equal(orders(name), 1);
});

test('shaman logs from logThreshold on, to standard output and to syslog', async () => {
  const directory = await withDomains({ 'logged.example': {} }, { logThreshold: 30 });
  await directory.program('logger', `#!/bin/sh\nexec cat > ${directory.path}/syslog\n`);
  const env = { PATH: `${directory.path}:${process.env.PATH}` };
  assert.deepEqual(await ground.start(directory, env).ended, { code: 0, stdout: '', stderr: '' });
  const json = await directory.json();
  await directory.write({ ...json, logThreshold: 20, domains: { 'logged2.example': {} } });
  const { stdout } = await ground.start(directory, env).ended;
  const syslog = (await directory.text('syslog')).trim().split('\n');
  assert.deepEqual(
    syslog,
    stdout
      .trim()
      .split('\n')
      .map(line => `<30>${line}`),
  );
  assert.ok(syslog.length > 3);
});
