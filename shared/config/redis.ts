import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describeFileError } from '../base/basics.ts';
import { type RedisAddress, withLogin } from '../base/redis-address.ts';
import { type RedisUser, redisUsers } from '../base/redis-use.ts';
import { type Environment, readVariable } from './environment.ts';
import { parseText } from './option-values.ts';
import type { Parse, SectionReader } from './section-reader.ts';

export type RedisConfig = {
  /**
   * `redis://`, `rediss://` or `unix:/path`; may hold a password. Absent: `quarry up` starts a private Redis.
   */
  url?: string;
  /** The file with the password of the URL's user, and of each user that has no file of its own. */
  passwordFile?: string;
  /** Redis's own name of each user that has one, and the file with its password. */
  users?: Partial<Record<RedisUser, { name: string; passwordFile: string }>>;
  /** What every key begins with; the braces keep all of them on one node of a cluster. */
  prefix: string;
  /** Where a private Redis keeps its data. */
  dir: string;
};

/** `[redis]`; REDIS_URL, with REDIS_PASSWORD_FILE beside it, stands in for an absent `url`. */
export function parseRedis(section: SectionReader, env: Environment): RedisConfig {
  const ownUrl = section.one('url', parseRedisUrl);
  const url = ownUrl ?? readVariable(env, 'REDIS_URL', parseRedisUrl);
  const prefix = section.one('prefix', parsePrefix) ?? '{quarry}';
  const dir = section.one('dir', parseText) ?? './quarry-data';
  const ownFile = section.one('password-file', parseText);
  const passwordFile =
    ownFile ?? (ownUrl === undefined ? readVariable(env, 'REDIS_PASSWORD_FILE', parseText) : undefined);
  const users = readUsers(section, passwordFile);
  section.finish();
  if (passwordFile !== undefined && url !== undefined && URL.parse(url)?.password)
    section.fail('has a password, as has password-file: give one of them', 'url');
  if (users && url === undefined) section.fail('is missing; users of a Redis need it', 'url');
  return { ...(url !== undefined && { url }), ...(passwordFile && { passwordFile }), ...users, prefix, dir };
}

function readUsers(
  section: SectionReader,
  commonFile: string | undefined,
): Pick<RedisConfig, 'users'> | undefined {
  const users: RedisConfig['users'] = {};
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
  return Object.keys(users).length > 0 ? { users } : undefined;
}

/**
 * How a user connects to a Redis, with its name and its password, which is read anew each time.
 *
 * @throws Error in one line where the file of the password cannot be used
 */
export function addressFor(
  user: RedisUser,
  { url }: RedisAddress,
  { users, passwordFile }: Pick<RedisConfig, 'users' | 'passwordFile'>,
): RedisAddress {
  const own = users?.[user];
  const file = own?.passwordFile ?? passwordFile;
  if (file === undefined) return { url };
  return { url: withLogin(url, { name: own?.name, password: readPassword(file) }) };
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

/** The socket of a private Redis. A relative `dir` starts where the process was started. */
export const privateSocket = (dir: string): string => resolve(dir, 'redis.sock');

/** The reasons never repeat the URL, for its password. */
const parseRedisUrl: Parse<string> = (text, fail) => {
  if (/^unix:\/./.test(text)) return text;
  if (!/^rediss?:\/\//i.test(text)) return fail('is not redis://…, rediss://… or unix:/path');
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
