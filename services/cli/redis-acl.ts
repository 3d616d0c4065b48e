import { createHash, randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createAtomically } from '../../shared/base/atomic-file.ts';
import { atOption } from '../../shared/base/file-error.ts';
import { type RedisUser, redisUsers } from '../../shared/base/redis-use.ts';
import { readPassword } from '../../shared/config/redis-access.ts';
import type { Secret } from '../../shared/config/secret-file.ts';
import { type Config, loadConfig } from '../../shared/setup/load-config.ts';
import { rightsOf, sentinelAclWords, toAclWords } from '../../shared/setup/redis-acl.ts';
import { type Command, needFiles, readOptions } from './command.ts';

/** `quarry redis-acl`: a Redis user for each role, or one of the Sentinels, with the least that it needs. */
export const redisAclCommand: Command = {
  usage: ['redis-acl [--acl-file] [--sentinel] [--passwords DIR] FILE…'],
  summary:
    'prints a Redis user for each role, or that of the Sentinels; --passwords makes the files of their passwords in DIR',
  example: 'quarry redis-acl --passwords /etc/quarry/redis main.ini | redis-cli',
  async run(words, { env, write }) {
    const { values, positionals } = readOptions(words, {
      'acl-file': { type: 'boolean' },
      sentinel: { type: 'boolean' },
      passwords: { type: 'string' },
    });
    const config = await loadConfig(needFiles('redis-acl', positionals), env);
    const { passwords, sentinel } = values;
    if (passwords !== undefined) await makePasswords(passwords, sentinel ? ['sentinel'] : redisUsers);
    const toLine = values['acl-file'] ? toFileLine : toCommandLine;
    const users = sentinel ? [userOfSentinels(config)] : redisUsers.map(user => userOfRole(user, config));
    const lines = users.map(({ of, name, password, words }) => {
      const secret = passwords === undefined ? password : { file: fileIn(passwords, of) };
      return toLine(name, ['on', toPasswordWord(name, secret), ...words]);
    });
    // Nobody else gets in: without it, whoever reaches Redis may do anything. Sentinels reach each other
    // as `default`.
    const others = values['acl-file'] && !sentinel ? ['user default off'] : [];
    await write(`${[...others, ...lines].join('\n')}\n`);
  },
};

type AclUser = {
  of: RedisUser | 'sentinel';
  name: string;
  /** As the configuration names it. */
  password: Secret | undefined;
  words: string[];
};

function userOfRole(user: RedisUser, config: Config): AclUser {
  const { users } = config.redis;
  const { name = `quarry-${user}`, password } = users?.[user] ?? {};
  return { of: user, name, password, words: toAclWords(user, rightsOf(user, config), config.redis) };
}

function userOfSentinels({ redis }: Config): AclUser {
  const { user: name = 'quarry', password } = redis.sentinel ?? {};
  return { of: 'sentinel', name, password, words: sentinelAclWords };
}

/** Where `ROLE` is a folder, as a volume that only this role sees, the file in it. */
function fileIn(dir: string, of: AclUser['of']): string {
  const path = join(dir, of);
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ? join(path, 'password') : path;
}

/** Where there is none yet; what others may read is no password. */
async function makePasswords(dir: string, users: readonly AclUser['of'][]): Promise<void> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    for (const user of users)
      await createAtomically(fileIn(dir, user), `${randomBytes(32).toString('base64url')}\n`, 0o600);
  } catch (error) {
    throw atOption(error, '--passwords');
  }
}

/** Redis keeps the digest alone; a line without one it refuses, rather than let the user in without. */
function toPasswordWord(name: string, password: Secret | undefined): string {
  if (password === undefined) return `#PUT-HERE-THE-SHA256-OF-THE-PASSWORD-OF-${name}`;
  return `#${createHash('sha256').update(readPassword(password)).digest('hex')}`;
}

/** A line of the file that Redis's `aclfile` names, in which nothing is quoted. */
const toFileLine = (name: string, words: string[]) => ['user', name, ...words].join(' ');

/** A command for redis-cli; what an earlier line gave to the user is taken back. */
const toCommandLine = (name: string, words: string[]) =>
  ['ACL SETUSER', name, 'reset', ...words.map(quote)].join(' ');

const quote = (word: string) => (/["'\\]/.test(word) ? `"${word.replace(/["\\]/g, '\\$&')}"` : word);
