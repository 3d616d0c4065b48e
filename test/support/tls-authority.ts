import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { provision } from './provision.ts';
import { tempDir } from './temp-dir.ts';

const run = promisify(execFile);

export type TlsAuthority = { caFile: string; certFile: string; keyFile: string };

let authority: Promise<TlsAuthority> | undefined;

/**
 * A small CA of this process's own and a certificate of it for localhost, proxied.example, 127.0.0.1 and ::1,
 * and 10.66.0.1, which is this machine to those of `debian-machine.ts`; as PEM files.
 */
export function tlsAuthority(): Promise<TlsAuthority> {
  authority ??= makeAuthority();
  return authority;
}

async function makeAuthority(): Promise<TlsAuthority> {
  const { openssl } = await provision(['openssl']);
  const { path } = await tempDir();
  const [caFile, caKeyFile] = [join(path, 'ca.pem'), join(path, 'ca-key.pem')];
  const [certFile, keyFile] = [join(path, 'localhost.pem'), join(path, 'localhost-key.pem')];

  const selfSign = async (subject: string, out: string, keyOut: string, ...more: string[]) => {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyOut];
    await run(openssl, ['req', '-x509', ...key, '-subj', subject, '-days', '2', '-out', out, ...more]);
  };
  await selfSign('/CN=Quarry test CA', caFile, caKeyFile);
  const names = 'subjectAltName=DNS:localhost,DNS:proxied.example,IP:127.0.0.1,IP:10.66.0.1,IP:::1';
  const leaf = ['-addext', names, '-addext', 'basicConstraints=critical,CA:false'];
  await selfSign('/CN=localhost', certFile, keyFile, '-CA', caFile, '-CAkey', caKeyFile, ...leaf);
  return { caFile, certFile, keyFile };
}
