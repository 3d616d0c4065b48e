import { resolve } from 'node:path';
import type { Endpoint } from '../base/redis-address.ts';
import { type RedisUser, redisUsers } from '../base/redis-use.ts';
import { type Environment, readVariable } from './environment.ts';
import { parseListener } from './listener.ts';
import { parseFlag, parseReadableFile, parseText } from './option-values.ts';
import type { Parse, SectionReader } from './section-reader.ts';

/** Of `url`, `sentinel` and `cluster` one is there, or none: `quarry up` starts a private Redis. */
export type RedisConfig = {
  /** `redis://`, `rediss://` or `unix:/path`; may hold a password. */
  url?: string;
  sentinel?: SentinelConfig;
  /** Some nodes of a cluster. */
  cluster?: Endpoint[];
  /** Redis's own name of each user that has no name in `users`; absent: that of the URL, or `default`. */
  user?: string;
  /** The file with the password of that user, and of each user that has no file of its own. */
  passwordFile?: string;
  /** Redis's own name of each user that has one, and the file with its password. */
  users?: Partial<Record<RedisUser, { name: string; passwordFile: string }>>;
  /** Whether what Sentinels name, or a cluster, speaks TLS; a URL says so itself. */
  tls: boolean;
  tlsFiles: RedisTlsFiles;
  /** What every key begins with; the braces keep all of them on one node of a cluster. */
  prefix: string;
  /** Where a private Redis keeps its data. */
  dir: string;
};

type SentinelConfig = {
  endpoints: Endpoint[];
  /** What the Sentinels call the Redis. */
  master: string;
  user?: string;
  passwordFile?: string;
  /** Whether they speak TLS. */
  tls: boolean;
};

/** The paths of PEM files: whom to trust in place of the public CAs, and what to show. */
export type RedisTlsFiles = { caFile?: string; certFile?: string; keyFile?: string };

const MASTER = 'mymaster'; // as Redis's own example of a configuration has it

/**
 * `[redis]`; REDIS_URL, with REDIS_PASSWORD_FILE beside it, stands in where the section does not say where
 * Redis is.
 */
export function parseRedis(section: SectionReader, env: Environment): RedisConfig {
  const ownUrl = section.one('url', parseRedisUrl);
  const endpoints = section.many('sentinel', parseEndpoint);
  const cluster = section.many('cluster', parseEndpoint);
  const isElsewhere = ownUrl !== undefined || endpoints.length > 0 || cluster.length > 0;
  const url = ownUrl ?? (isElsewhere ? undefined : readVariable(env, 'REDIS_URL', parseRedisUrl));
  const tls = section.one('tls', parseFlag) ?? false;
  const sentinel = readSentinel(section, endpoints, tls);
  const tlsFiles = readTlsFiles(section, url?.startsWith('rediss:') || tls || sentinel?.tls);
  const prefix = section.one('prefix', parsePrefix) ?? '{quarry}';
  const dir = section.one('dir', parseText) ?? './quarry-data';
  const user = section.one('user', parseUserName);
  const ownFile = section.one('password-file', parseText);
  const passwordFile =
    ownFile ?? (isElsewhere ? undefined : readVariable(env, 'REDIS_PASSWORD_FILE', parseText));
  const users = readUsers(section, passwordFile);
  section.finish();
  if (url === undefined && !isElsewhere) refuseWithoutPlace(section, { user, users, tls });
  if (url !== undefined) refuseBesideUrl(section, { url, user, passwordFile, tls });
  if (cluster.length > 0) refuseBesideCluster(section, { endpoints, prefix });
  if (user !== undefined && passwordFile === undefined) section.fail('needs password-file beside it', 'user');
  return {
    ...(url !== undefined && { url }),
    ...(sentinel && { sentinel }),
    ...(cluster.length > 0 && { cluster }),
    ...(user !== undefined && { user }),
    ...(passwordFile && { passwordFile }),
    ...(users && { users }),
    ...{ tls, tlsFiles, prefix, dir },
  };
}

function readSentinel(
  section: SectionReader,
  endpoints: Endpoint[],
  tlsOfRedis: boolean,
): SentinelConfig | undefined {
  const master = section.one('sentinel-master', parseText);
  const user = section.one('sentinel-user', parseUserName);
  const passwordFile = section.one('sentinel-password-file', parseText);
  const tls = section.one('sentinel-tls', parseFlag);
  if (endpoints.length === 0) {
    const given = { 'sentinel-master': master, 'sentinel-user': user, 'sentinel-tls': tls };
    const [option] = Object.entries({ ...given, 'sentinel-password-file': passwordFile }).flatMap(
      ([name, value]) => (value === undefined ? [] : [name]),
    );
    return option === undefined ? undefined : section.fail('needs sentinel = host:port beside it', option);
  }
  if (user !== undefined && passwordFile === undefined)
    section.fail('needs sentinel-password-file beside it', 'sentinel-user');
  return {
    ...{ endpoints, master: master ?? MASTER },
    ...(user !== undefined && { user }),
    ...(passwordFile !== undefined && { passwordFile }),
    tls: tls ?? tlsOfRedis,
  };
}

function readTlsFiles(section: SectionReader, isUsed: boolean | undefined): RedisTlsFiles {
  const caFile = section.one('ca-file', parseReadableFile);
  const certFile = section.one('tls-cert', parseReadableFile);
  const keyFile = section.one('tls-key', parseReadableFile);
  if (certFile !== undefined && keyFile === undefined) section.fail('needs tls-key beside it', 'tls-cert');
  if (keyFile !== undefined && certFile === undefined) section.fail('needs tls-cert beside it', 'tls-key');
  const option = caFile !== undefined ? 'ca-file' : 'tls-cert';
  if (!isUsed && (caFile ?? certFile) !== undefined)
    section.fail('is for TLS: write url = rediss://…, or tls = yes beside sentinel or cluster', option);
  return {
    ...(caFile !== undefined && { caFile }),
    ...(certFile !== undefined && { certFile }),
    ...(keyFile !== undefined && { keyFile }),
  };
}

function refuseWithoutPlace(
  section: SectionReader,
  { user, users, tls }: Partial<Pick<RedisConfig, 'user' | 'users' | 'tls'>>,
): void {
  if (user !== undefined || users) section.fail('is missing; users of a Redis need it', 'url');
  if (tls) section.fail('is for Sentinels and clusters; neither sentinel nor cluster is given', 'tls');
}

function refuseBesideUrl(
  section: SectionReader,
  given: { url: string; user: string | undefined; passwordFile: string | undefined; tls: boolean },
): void {
  const { username, password } = URL.parse(given.url) ?? {};
  if (section.many('sentinel', parseText).length > 0)
    section.fail(`${ONE_PLACE}: here is a url too`, 'sentinel');
  if (section.many('cluster', parseText).length > 0)
    section.fail(`${ONE_PLACE}: here is a url too`, 'cluster');
  if (given.tls) section.fail('is for Sentinels and clusters: write url = rediss://…', 'tls');
  if (given.passwordFile !== undefined && password)
    section.fail('has a password, as has password-file: give one of them', 'url');
  if (given.user !== undefined && username) section.fail('has a user, as has user: give one of them', 'url');
}

const ONE_PLACE = 'Redis is in one place';

function refuseBesideCluster(
  section: SectionReader,
  { endpoints, prefix }: { endpoints: Endpoint[]; prefix: string },
): void {
  if (endpoints.length > 0) section.fail(`${ONE_PLACE}: here is a sentinel too`, 'cluster');
  if (hashTag.test(prefix)) return;
  const right = `{${prefix.replace(/[{}]/g, '')}}`;
  section.fail(`has no braces, so that a cluster would spread the keys: write prefix = ${right}`, 'prefix');
}

/** Redis takes the text in the first braces, unless that is empty, to choose the slot of a key. */
const hashTag = /^[^{]*\{[^}]+\}/;

function readUsers(section: SectionReader, commonFile: string | undefined): RedisConfig['users'] {
  const users: NonNullable<RedisConfig['users']> = {};
  for (const user of redisUsers) {
    const [ofName, ofFile] = [`user-${user}`, `password-file-${user}`];
    const name = section.one(ofName, parseUserName);
    const ownFile = section.one(ofFile, parseText);
    if (name === undefined && ownFile !== undefined) section.fail(`needs ${ofName} beside it`, ofFile);
    const passwordFile = ownFile ?? commonFile;
    if (name === undefined) continue;
    if (passwordFile === undefined) return section.fail(`needs ${ofFile} beside it`, ofName);
    users[user] = { name, passwordFile };
  }
  return Object.keys(users).length > 0 ? users : undefined;
}

/** The socket of a private Redis. A relative `dir` starts where the process was started. */
export const privateSocket = (dir: string): string => resolve(dir, 'redis.sock');

const NO_URL =
  'is not redis://…, rediss://… or unix:/path; for Sentinels write sentinel = host:port, for a cluster cluster = host:port';

/** The reasons never repeat the URL, for its password. */
const parseRedisUrl: Parse<string> = (text, fail) => {
  if (/^unix:\/./.test(text)) return text;
  if (!/^rediss?:\/\//i.test(text)) return fail(NO_URL);
  const url = URL.parse(text);
  if (!url?.hostname) return fail('is not a valid URL; special characters in a password must be %-encoded');
  return /^\/?\d*$/.test(url.pathname)
    ? text
    : fail('may have only the number of a database behind its host');
};

const parseUserName: Parse<string> = (text, fail) =>
  /^[\w.-]+$/.test(text) ? text : fail('is not a name of letters, digits, -, _ and .');

const parsePrefix: Parse<string> = (text, fail) =>
  /^\S+$/.test(text) ? text : fail('must be one word without spaces');

const parseEndpoint: Parse<Endpoint> = (text, fail) => {
  const { host, port } = parseListener(text, fail);
  if (host.includes('%')) return fail('has an address that is valid on one link alone');
  return port === 0 ? fail('has no port') : { host, port };
};
