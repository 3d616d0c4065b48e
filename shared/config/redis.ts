import { resolve } from 'node:path';
import type { Endpoint } from '../base/redis-address.ts';
import { type RedisUser, redisUsers } from '../base/redis-use.ts';
import { type Environment, readVariable } from './environment.ts';
import { parseListener } from './listener.ts';
import { parseFlag, parseReadableFile, parseText } from './option-values.ts';
import type { Secret } from './secret-file.ts';
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
  /** The password of that user, and of each user that has none of its own. */
  password?: Secret;
  /** Redis's own name of each user that has one, and its password. */
  users?: Partial<Record<RedisUser, { name: string; password: Secret }>>;
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
  password?: Secret;
  /** Whether they speak TLS. */
  tls: boolean;
};

/** The paths of PEM files: whom to trust in place of the public CAs, and what to show. */
export type RedisTlsFiles = { caFile?: string; certFile?: string; keyFile?: string };

export const MASTER = 'mymaster'; // as Redis's own example of a configuration has it

export const PREFIX = '{quarry}';
export const DIR = './quarry-data';

/**
 * `[redis]`; REDIS_URL, with REDIS_PASSWORD_FILE beside it, stands in where the section does not say where
 * Redis is.
 */
export function parseRedis(section: SectionReader, env: Environment): RedisConfig {
  const ownUrl = section.secret('url', parseRedisUrl, { isSecret: url => !!URL.parse(url)?.password });
  const endpoints = section.many('sentinel', parseEndpoint);
  const cluster = section.many('cluster', parseEndpoint);
  const isElsewhere = ownUrl !== undefined || endpoints.length > 0 || cluster.length > 0;
  const url = ownUrl ?? (isElsewhere ? undefined : readVariable(env, 'REDIS_URL', parseRedisUrl));
  const written = section.one('tls', parseFlag);
  const tls = written ?? false;
  const sentinel = readSentinel(section, endpoints, tls);
  const tlsFiles = readTlsFiles(section, url?.startsWith('rediss:') || tls || sentinel?.tls);
  const prefix = section.one('prefix', parsePrefix) ?? PREFIX;
  const dir = section.one('dir', parseText) ?? DIR;
  const user = section.one('user', parseUserName);
  const fileOfEnv = isElsewhere ? undefined : readVariable(env, 'REDIS_PASSWORD_FILE', parseText);
  const password =
    section.secretOrLaterFile('password', parsePassword) ?? (fileOfEnv ? { file: fileOfEnv } : undefined);
  const users = readUsers(section, password);
  section.finish();
  if (url === undefined && !isElsewhere) refuseWithoutPlace(section, { user, users, tls });
  if (url !== undefined) refuseBesideUrl(section, { url, user, password, tls: written });
  if (cluster.length > 0) refuseBesideCluster(section, { endpoints, prefix });
  if (user !== undefined && password === undefined) section.fail('needs password-file beside it', 'user');
  return {
    ...(url !== undefined && { url }),
    ...(sentinel && { sentinel }),
    ...(cluster.length > 0 && { cluster }),
    ...(user !== undefined && { user }),
    ...(password && { password }),
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
  const password = section.secretOrLaterFile('sentinel-password', parsePassword);
  const tls = section.one('sentinel-tls', parseFlag);
  if (endpoints.length === 0) {
    const given = { 'sentinel-master': master, 'sentinel-user': user, 'sentinel-tls': tls };
    const [option] = Object.entries({ ...given, 'sentinel-password': password }).flatMap(([name, value]) =>
      value === undefined ? [] : [name],
    );
    return option === undefined ? undefined : section.fail('needs sentinel = host:port beside it', option);
  }
  if (user !== undefined && password === undefined)
    section.fail('needs sentinel-password-file beside it', 'sentinel-user');
  return {
    ...{ endpoints, master: master ?? MASTER },
    ...(user !== undefined && { user }),
    ...(password && { password }),
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
  given: {
    url: string;
    user: string | undefined;
    password: Secret | undefined;
    tls: boolean | undefined;
  },
): void {
  const { username, password } = URL.parse(given.url) ?? {};
  if (section.many('sentinel', parseText).length > 0)
    section.fail(`${ONE_PLACE}: here is a url too`, 'sentinel');
  if (section.many('cluster', parseText).length > 0)
    section.fail(`${ONE_PLACE}: here is a url too`, 'cluster');
  const isTls = given.url.startsWith('rediss:');
  if (given.tls !== undefined && given.tls !== isTls)
    section.fail(`is for Sentinels and clusters: write url = ${isTls ? 'redis' : 'rediss'}://…`, 'tls');
  if (given.password !== undefined && password)
    section.fail('has a password, and so has the section: give one of them', 'url');
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

function readUsers(section: SectionReader, common: Secret | undefined): RedisConfig['users'] {
  const users: NonNullable<RedisConfig['users']> = {};
  for (const user of redisUsers) {
    const [ofName, ofText, ofFile] = [`user-${user}`, `password-${user}`, `password-file-${user}`];
    const name = section.one(ofName, parseUserName);
    const own = section.secretOrLaterFile(ofText, parsePassword, ofFile);
    if (name === undefined && own !== undefined)
      section.fail(`needs ${ofName} beside it`, 'file' in own ? ofFile : ofText);
    const password = own ?? common;
    if (name === undefined) continue;
    if (password === undefined) return section.fail(`needs ${ofFile} beside it`, ofName);
    users[user] = { name, password };
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

/** The same of what is written and of what is in a file. */
export const parsePassword: Parse<string> = (text, fail) =>
  /^\S+$/.test(text) ? text : fail('is not one word');

const parsePrefix: Parse<string> = (text, fail) =>
  /^\S+$/.test(text) ? text : fail('must be one word without spaces');

const parseEndpoint: Parse<Endpoint> = (text, fail) => {
  const { host, port } = parseListener(text, fail);
  if (host.includes('%')) return fail('has an address that is valid on one link alone');
  return port === 0 ? fail('has no port') : { host, port };
};
