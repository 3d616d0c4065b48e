import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { describeError } from '../base/errors.ts';
import type { RedisAddress, RedisPlace, RedisTls } from '../base/redis-address.ts';
import type { RedisUser } from '../base/redis-use.ts';
import { parsePassword, type RedisConfig, type RedisTlsFiles } from './redis.ts';
import { readSecret, type Secret } from './secret-file.ts';

/** `undefined` where none is configured. */
export function findPlace(config: RedisConfig): RedisPlace | undefined {
  const { url, sentinel, cluster, tlsFiles, prefix } = config;
  if (url !== undefined) return { url };
  if (cluster) return { nodes: cluster, prefix };
  if (!sentinel) return undefined;
  const { endpoints: sentinels, master, user, password } = sentinel;
  return {
    ...{ sentinels, master },
    ...(password && { sentinelLogin: () => readLogin(user, password) }),
    ...(sentinel.tls && { sentinelTls: () => readTls(tlsFiles) }),
  };
}

/** How a user connects to a Redis. Its password and the files of TLS are read anew for each connection. */
export function addressFor(
  user: RedisUser,
  place: RedisPlace,
  config: Pick<RedisConfig, 'user' | 'users' | 'password' | 'tls' | 'tlsFiles'>,
): RedisAddress {
  const own = config.users?.[user];
  const password = own?.password ?? config.password;
  const isTls = 'url' in place ? place.url.startsWith('rediss:') : config.tls;
  return {
    ...place,
    ...(password && { login: () => readLogin(own?.name ?? config.user, password) }),
    ...(isTls && { tls: () => readTls(config.tlsFiles) }),
  };
}

function readLogin(username: string | undefined, password: Secret) {
  return { ...(username !== undefined && { username }), password: readPassword(password) };
}

/** @throws Error in one line, which repeats nothing of it */
export function readPassword(secret: Secret): string {
  try {
    return parsePassword(readSecret(secret), reason => {
      throw new Error(`${'file' in secret ? secret.file : 'it'} ${reason}`);
    });
  } catch (error) {
    throw new Error(`the password of a Redis user: ${describeError(error)}`);
  }
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
