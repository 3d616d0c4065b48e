import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { assertChain } from '../support/chain.ts';
import { type CsrOptions, makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { provision } from '../support/provision.ts';
import { tlsAuthority } from '../support/tls-authority.ts';

const fleet = await startFleet({
  blocks: `[auth "local"]
ip = 127.0.0.1
domain = *.example
address = 127.0.0.0/8
`,
});
after(() => fleet[Symbol.asyncDispose]());

const numbered = (count: number) => Array.from({ length: count }, (_, index) => `n${index}.twenty.example`);

const kinds: [what: string, csr: CsrOptions, names?: string[]][] = [
  ['an RSA key and one name', { key: 'rsa', names: ['rsa.example'] }],
  ['a P-256 key and one name', { key: 'ec', names: ['p256.example'] }],
  ['a P-384 key and one name', { key: 'p384', names: ['p384.example'] }],
  ['an RSA key and several names', { key: 'rsa', names: ['a.example', 'b.example', 'www.a.example'] }],
  ['20 names', { names: numbered(20) }],
  ['SANs without a CN', { names: ['x.san.example', 'y.san.example'], commonName: false }],
  ['upper case', { names: ['UPPER.Example'] }, ['upper.example']],
  [
    'an address that the block admits',
    { names: ['with-ip.example'], ips: ['127.0.0.1'] },
    ['127.0.0.1', 'with-ip.example'],
  ],
];

for (const [what, options, names = options.names] of kinds) {
  test(`a CSR with ${what} gets a chain to the CA's root, for its key and its names`, async () => {
    const { csrPem, keyPem } = await makeCsr(options);
    const orders = fleet.orders();
    const { status, body } = await fleet.post(csrPem);
    assert.equal(status, 200, body);
    assertChain(body, { names, keyPem, rootPem: await fleet.pebble.rootPem() });
    assert.equal(fleet.orders(), orders + 1);
  });
}

test('a CSR with a CN alone is ordered for its CN, and a CA that reads SANs only, as Pebble does, makes it a 415', async () => {
  const { csrPem } = await makeCsr({ names: [], commonName: 'cn.example' });
  const orders = fleet.orders();
  const { status, body } = await fleet.post(csrPem);
  assert.equal(status, 415);
  assert.match(body, /^the CA refused: Order includes different number of DNSnames identifiers.*\n$/);
  assert.equal(fleet.orders(), orders + 1);
});

test('the answer is the chain in PEM, leaf first, one blank line between certificates, and names its request', async () => {
  const { csrPem } = await makeCsr({ names: ['format.example'] });
  const { body, headers } = await fleet.post(csrPem);
  assert.match(headers['content-type'] ?? '', /^application\/pem-certificate-chain(;|$)/);
  assert.match(headers['x-request-id'] as string, /^[0-9a-f-]{36}$/);
  const certificate = '-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=]+\n)+-----END CERTIFICATE-----\n';
  assert.match(body, new RegExp(`^${certificate}(\n${certificate})+$`));

  const file = join(fleet.dir, 'format.pem');
  const rootFile = join(fleet.dir, 'root.pem');
  await Promise.all([writeFile(file, body), writeFile(rootFile, await fleet.pebble.rootPem())]);
  const { openssl } = await provision(['openssl']);
  const { stdout } = await promisify(execFile)(openssl, [
    'verify',
    '-CAfile',
    rootFile,
    '-untrusted',
    file,
    file,
  ]);
  assert.equal(stdout, `${file}: OK\n`);
});

test('an intake with tls-cert and tls-key serves https, on IPv6 too', async () => {
  const { caFile, certFile, keyFile } = await tlsAuthority();
  const port = await freePort();
  const tls = `listener = [::1]:${port}\ntls-cert = ${certFile}\ntls-key = ${keyFile}`;
  const intake = await fleet.start('intake', {
    mgmt: tls,
    blocks: '[auth "local"]\nip = ::1\nip = 127.0.0.1\ndomain = *',
  });
  const { curl } = await provision(['curl']);
  const { csrFile, keyPem } = await makeCsr({ names: ['tls.example'] });
  for (const url of [intake.url.replace('http:', 'https:'), `https://[::1]:${port}`]) {
    const args = ['-sS', '--fail', '--cacert', caFile, '--data-binary', `@${csrFile}`, `${url}/sign`];
    const { stdout } = await promisify(execFile)(curl, args);
    assertChain(stdout, { names: ['tls.example'], keyPem, rootPem: await fleet.pebble.rootPem() });
  }
});

test('the roles tell of an order by request, job, order URL and names', async () => {
  const { csrPem } = await makeCsr({ names: ['told.example'] });
  const { headers } = await fleet.post(csrPem);
  const [worker, intake] = [fleet.all('worker')[0], fleet.all('intake')[0]];
  const made = worker?.log().find(({ msg, names }) => msg === 'order made' && `${names}` === 'told.example');
  assert.equal(made?.request, headers['x-request-id']);
  assert.match(`${made?.order}`, /^https:\/\/.+\/my-order\//);
  const answered = intake?.log().find(({ msg, request }) => msg === 'request' && request === made?.request);
  assert.deepEqual(
    [answered?.job, answered?.names, answered?.status, answered?.client],
    [made?.job, ['told.example'], 200, '127.0.0.1'],
  );
});

test('a challenge response is gone once its order is through', async () => {
  const before = fleet.front.asked.length;
  const { csrPem } = await makeCsr({ names: ['withdrawn.example'] });
  assert.equal((await fleet.post(csrPem)).status, 200);
  assert.ok(fleet.front.asked.length > before);
  assert.deepEqual(await fleet.redisClient.keys('{quarry}:http-01:*'), []);
});
