import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { describeError, describeFileError } from '../base/basics.ts';
import type { RedisAddress, RedisPlace, RedisTls } from '../base/redis-address.ts';
import type { RedisUser } from '../base/redis-use.ts';
import type { RedisConfig, RedisTlsFiles } from './redis.ts';

/** `undefined` where none is configured. */
export function findPlace(config: RedisConfig): RedisPlace | undefined {
  const { url, sentinel, cluster, tlsFiles, prefix } = config;
  if (url !== undefined) return { url };
  if (cluster) return { nodes: cluster, prefix };
  if (!sentinel) return undefined;
  const { endpoints: sentinels, master, user, passwordFile } = sentinel;
  return {
    ...{ sentinels, master },
    ...(passwordFile !== undefined && { sentinelLogin: () => readLogin(user, passwordFile) }),
    ...(sentinel.tls && { sentinelTls: () => readTls(tlsFiles) }),
  };
}

/** How a user connects to a Redis. Its password and the files of TLS are read anew for each connection. */
export function addressFor(
  user: RedisUser,
  place: RedisPlace,
  config: Pick<RedisConfig, 'user' | 'users' | 'passwordFile' | 'tls' | 'tlsFiles'>,
): RedisAddress {
  const own = config.users?.[user];
  const file = own?.passwordFile ?? config.passwordFile;
  const isTls = 'url' in place ? place.url.startsWith('rediss:') : config.tls;
  return {
    ...place,
    ...(file !== undefined && { login: () => readLogin(own?.name ?? config.user, file) }),
    ...(isTls && { tls: () => readTls(config.tlsFiles) }),
  };
}

function readLogin(username: string | undefined, passwordFile: string) {
  return { ...(username !== undefined && { username }), password: readPassword(passwordFile) };
}

/** @throws Error in one line, which repeats nothing of the file */
export function readPassword(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`the password of a Redis user in ${file} cannot be read: ${describeFileError(error)}`);
  }
  const password = text.trim();
  if (password === '' || /\s/.test(password))
    throw new Error(`${file} does not hold one word, the password of a Redis user`);
  return password;
}

/** @throws Error in one line where a file cannot be used */
function readTls({ caFile, certFile, keyFile }: RedisTlsFiles): RedisTls {
  if (caFile === undefined && certFile === undefined) return {};
  const files = { ca: caFile, cert: certFile, key: keyFile };
  const given = Object.entries(files).flatMap(([name, file]) => (file === undefined ? [] : [[name, file]]));
  try {
    const pem = Object.fromEntries(given.map(([name, file = '']) => [name, readFileSync(file, 'utf8')]));
    if (pem.ca !== undefined) new X509Certificate(pem.ca); // a context would just trust nobody
    return { secureContext: createSecureContext(pem) };
  } catch (error) {
    const named = given.map(([, file]) => file).join(' and ');
    throw new Error(`Redis cannot be reached by TLS with ${named}: ${describeError(error)}`);
  }
}
