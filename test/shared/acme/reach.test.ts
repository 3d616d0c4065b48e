import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openAcmeClient } from '../../../shared/acme/client.ts';
import type { CaConnection } from '../../../shared/acme/connection.ts';
import { mayName } from '../../../shared/acme/reach.ts';
import { startWithAccount } from './account-ready.ts';
import { never } from './open-connection.ts';

const hostnameOf = (url: string) => new URL(url).hostname;

const loopback = ['http://127.0.0.1:6379/', 'https://localhost/', 'https://[::1]/', 'https://2130706433/'];
const inside = [
  ...['https://10.0.0.1/', 'https://192.168.1.1/', 'https://172.20.0.1/', 'https://100.64.0.1/'],
  ...['https://169.254.169.254/latest', 'https://[fd00::1]/', 'https://[fe80::1]/', 'https://0xa000001/'],
  // An address of this network stands in them: NAT64, 6to4, and IPv4 behind zeros.
  ...['https://[64:ff9b::a9fe:a9fe]/latest', 'https://[2002:7f00:1::]/', 'https://[::a00:1]/'],
  ...['https://[64:ff9b:1::a00:1]/', 'https://198.18.0.1/', 'https://224.0.0.1/', 'https://[ff02::1]/'],
];
const mapped = [
  'https://[::ffff:127.0.0.1]/',
  'https://0.0.0.0/',
  'https://app.localhost/',
  'https://localhost./',
];
const outside = ['https://ca2.example.org/order', 'https://192.0.43.8/', 'https://[2606:2800::1]/'];

for (const [directory, may, mayNot] of [
  ['https://ca.letsencrypt.org/directory', outside, [...loopback, ...mapped, ...inside]],
  ['https://192.0.43.8/directory', outside, [...loopback, ...mapped, ...inside]],
  ['https://ca.internal/directory', [...outside, ...inside], [...loopback, ...mapped]],
  ['https://10.1.2.3/directory', [...outside, ...inside], [...loopback, ...mapped]],
  ['https://127.0.0.1:14000/dir', [...outside, ...inside, ...loopback, ...mapped], []],
  ['http://localhost:4000/dir', [...outside, ...inside, ...loopback, ...mapped], []],
] as const)
  test(`mayName() lets the CA of ${directory} name what is as far away as it is, and nothing nearer`, () => {
    assert.deepEqual(
      may.filter(url => !mayName(directory, hostnameOf(url))),
      [],
    );
    assert.deepEqual(
      mayNot.filter(url => mayName(directory, hostnameOf(url))),
      [],
    );
  });

test('a request is signed for no URL on this machine or its network where the directory is out in the internet', async () => {
  await using ready = await startWithAccount();
  const { ca, account } = ready;
  const { directory, ...rest } = ready.connection;
  assert.ok(directory);
  const connection: CaConnection = { ...rest, directory, directoryUrl: 'https://ca.example.org/directory' };
  const client = openAcmeClient(connection, account, never);
  ca.on('/order/1', () => ({ body: { status: 'ready' } }));
  await assert.rejects(client.getOrder(`${ca.url}/order/1`), {
    code: 'unexpected',
    message: 'the CA named a URL inside this network: 127.0.0.1',
  });
  assert.deepEqual(ca.log(), []);
});
