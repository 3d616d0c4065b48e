import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { freePort } from '../support/free-port.ts';
import { provision } from '../support/provision.ts';
import { startQuarry } from '../support/quarry.ts';
import { startRedis } from '../support/redis.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

async function makeCertificate(dir: string, name: string) {
  const { openssl } = await provision(['openssl']);
  const [certFile, keyFile] = [join(dir, `${name}.pem`), join(dir, `${name}.key`)];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyFile];
  await promisify(execFile)(openssl, ['req', '-x509', ...key, '-subj', `/CN=${name}`, '-out', certFile]);
  return { certFile, keyFile };
}

/** The common name of the certificate that is served on a port. */
async function servedName(port: number): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return `${subject.CN}`;
}

test('an intake takes over a renewed TLS certificate without a restart, and keeps the old one while the new is half there', async () => {
  await using redis = await startRedis();
  await using dir = await tempDir();
  const [one, two] = [await makeCertificate(dir.path, 'one'), await makeCertificate(dir.path, 'two')];
  const [certFile, keyFile] = [join(dir.path, 'cert.pem'), join(dir.path, 'key.pem')];
  await copyFile(one.certFile, certFile);
  await copyFile(one.keyFile, keyFile);
  const port = await freePort();
  await using intake = await startQuarry(
    'intake',
    `[account]
dir = ${dir.path}
[mgmt]
listener = 127.0.0.1:${port}
tls-cert = ${certFile}
tls-key = ${keyFile}
[auth "all"]
all = yes
domain = *
[redis]
url = ${redis.url}
`,
  );
  assert.equal(await servedName(port), 'one');

  await copyFile(two.certFile, certFile);
  await waitUntil('the half-renewed certificate to be refused', () =>
    /the old one stays/.test(intake.output()),
  );
  assert.equal(await servedName(port), 'one');

  await copyFile(two.keyFile, keyFile);
  await waitUntil('the renewed certificate to be served', async () => (await servedName(port)) === 'two');
  assert.equal(await intake.stop(), 0);
});
