import { createHash, randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createAtomically } from '../../shared/base/atomic-file.ts';
import { type RedisUser, redisUsers } from '../../shared/base/redis-use.ts';
import type { RedisConfig } from '../../shared/config/redis.ts';
import { readPassword } from '../../shared/config/redis-access.ts';
import { loadConfig } from '../../shared/setup/load-config.ts';
import { rightsOf, toAclWords } from '../../shared/setup/redis-acl.ts';
import { type Command, needFiles, readOptions } from './command.ts';

/** `quarry redis-acl`: a user of Redis for each role, with the least that it needs. */
export const redisAclCommand: Command = {
  usage: ['redis-acl [--acl-file] [--passwords DIR] FILE…'],
  summary: 'prints a Redis user for each role; --passwords makes the files of their passwords in DIR',
  example: 'quarry redis-acl --passwords /etc/quarry/redis main.ini | redis-cli',
  async run(words, { env, write }) {
    const { values, positionals } = readOptions(words, {
      'acl-file': { type: 'boolean' },
      passwords: { type: 'string' },
    });
    const config = await loadConfig(needFiles('redis-acl', positionals), env);
    if (values.passwords !== undefined) await makePasswords(values.passwords);
    const toLine = values['acl-file'] ? toFileLine : toCommandLine;
    const lines = redisUsers.map(user => {
      const name = config.redis.users?.[user]?.name ?? `quarry-${user}`;
      const password = toPasswordWord(name, findPassword(user, config.redis, values.passwords));
      return toLine(name, ['on', password, ...toAclWords(user, rightsOf(user, config), config.redis)]);
    });
    // Nobody else gets in: without this line, whoever reaches Redis may do anything.
    const others = values['acl-file'] ? ['user default off'] : [];
    await write(`${[...others, ...lines].join('\n')}\n`);
  },
};

/** Where `ROLE` is a folder, as a volume that only this role sees, the file in it. */
function fileIn(dir: string, user: RedisUser): string {
  const path = join(dir, user);
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ? join(path, 'password') : path;
}

/** Where there is none yet; what others may read is no password. */
async function makePasswords(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  for (const user of redisUsers)
    await createAtomically(fileIn(dir, user), `${randomBytes(32).toString('base64url')}\n`, 0o600);
}

function findPassword(user: RedisUser, { users }: RedisConfig, dir: string | undefined): string | undefined {
  const password = dir === undefined ? users?.[user]?.password : { file: fileIn(dir, user) };
  return password && readPassword(password);
}

/** Redis keeps the digest alone; a line without one it refuses, rather than let the user in without. */
function toPasswordWord(name: string, password: string | undefined): string {
  if (password === undefined) return `#PUT-HERE-THE-SHA256-OF-THE-PASSWORD-OF-${name}`;
  return `#${createHash('sha256').update(password).digest('hex')}`;
}

/** A line of the file that Redis's `aclfile` names, in which nothing is quoted. */
const toFileLine = (name: string, words: string[]) => ['user', name, ...words].join(' ');

/** A command for redis-cli; what an earlier line gave to the user is taken back. */
const toCommandLine = (name: string, words: string[]) =>
  ['ACL SETUSER', name, 'reset', ...words.map(quote)].join(' ');

const quote = (word: string) => (/["'\\]/.test(word) ? `"${word.replace(/["\\]/g, '\\$&')}"` : word);
