import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { openServers } from '../../../services/intake/servers.ts';
import { ecKey, makeCertificate } from '../../shared/pki/openssl-csr.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { tempDir } from '../../support/temp-dir.ts';

/**
 * A server of a certificate for each name, as files; `certificate` and `asks` are what a new connection sees.
 */
async function openTls(...names: string[]) {
  const stack = new AsyncDisposableStack();
  const { path } = stack.use(await tempDir());
  const keyFile = ecKey();
  const files = names.map(name => ({ name, certFile: join(path, `${name}.pem`), keyFile }));
  for (const { name, certFile } of files)
    await writeFile(certFile, makeCertificate({ names: `DNS:${name}` }));
  const handler = () => {};
  const servers = stack.use(openServers({ tls: files[0] ?? assert.fail() }, handler, quietLog));
  const server = servers.create();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stack.defer(() => void server.close());
  const { port } = server.address() as AddressInfo;

  async function look(): Promise<{ certificate: string; asks: boolean }> {
    const shown = { cert: makeCertificate({ names: 'DNS:client' }), key: await readFile(keyFile) };
    const socket: TLSSocket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...shown });
    const [accepted] = (await once(server, 'secureConnection')) as [TLSSocket];
    const seen = {
      certificate: socket.getPeerX509Certificate()?.subjectAltName ?? '',
      asks: accepted.getPeerX509Certificate() !== undefined,
    };
    socket.destroy();
    accepted.destroy();
    return seen;
  }
  return { files, servers, look, path, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test('another certificate, and a client-ca that comes and goes, are for the connections after it was taken over', async () => {
  await using opened = await openTls('one', 'two');
  const { files, servers, look } = opened;
  const [one, two] = files;
  assert.ok(one && two);
  assert.deepEqual(await look(), { certificate: 'DNS:one', asks: false });
  const take = servers.prepare({ tls: two, clientCaFile: one.certFile });
  assert.deepEqual(await look(), { certificate: 'DNS:one', asks: false });
  take();
  assert.deepEqual(await look(), { certificate: 'DNS:two', asks: true });
  servers.prepare({ tls: one })();
  assert.deepEqual(await look(), { certificate: 'DNS:one', asks: false });
});

test('files that cannot be used are refused before anything is taken over', async () => {
  await using opened = await openTls('one');
  const { files, servers, look, path } = opened;
  const [one] = files;
  assert.ok(one);
  const broken = join(path, 'broken.pem');
  await writeFile(broken, 'no certificate');
  assert.throws(() => servers.prepare({ tls: { ...one, certFile: broken } }));
  assert.throws(() => servers.prepare({ tls: { ...one, certFile: join(path, 'absent') } }));
  assert.deepEqual(await look(), { certificate: 'DNS:one', asks: false });
});
