import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { type RedisUser, redisUsers } from '../../shared/base/redis-use.ts';
import { loadConfig } from '../../shared/setup/load-config.ts';
import { rightsOf, toAclWords } from '../../shared/setup/redis-acl.ts';
import type { Redis as Server } from './redis.ts';

/** The Redis users of a fleet, with the rights that `quarry redis-acl` gives them. */
export type FleetRedisUsers = {
  /** Lines of `[redis]`. */
  lines: string;
  /** Allows all of the roles what they need with this configuration, beside what they may already. */
  allow(ini: string): Promise<void>;
  /** What Redis refused to one of them, a line each; nothing where Redis is away. */
  refusals(): Promise<string[]>;
};

const nameOf = (user: RedisUser) => `quarry-${user}`;

/**
 * @param dir for the files of their passwords
 * @param nodes all get the users: no node tells another of them
 */
export async function makeRedisUsers(dir: string, nodes: readonly Server[]): Promise<FleetRedisUsers> {
  const fileOf = (user: RedisUser) => join(dir, `redis-${user}`);
  for (const user of redisUsers) await writeFile(fileOf(user), `password of ${user}`.replaceAll(' ', '-'));
  const allowed = new Set<string>();

  /** One after the other, as they write the same file. */
  let allowing = Promise.resolve();

  async function allowOne(ini: string): Promise<void> {
    const file = join(dir, `allowed-${randomUUID()}.ini`);
    await writeFile(file, ini);
    const config = await loadConfig([file], {}).catch(() => undefined); // a test of what is refused
    if (!config) return;
    for (const user of redisUsers) {
      const isNew = ![...allowed].some(command => command.startsWith(`${nameOf(user)} `));
      const words = toAclWords(user, rightsOf(user, config), config.redis).filter(
        word => isNew || !/^(reset|-)/.test(word),
      );
      const command = [nameOf(user), 'on', `>password-of-${user}`, ...words];
      if (allowed.has(command.join(' '))) continue;
      await Promise.all(nodes.map(node => tellNode(node, command)));
      allowed.add(command.join(' '));
    }
  }

  return {
    lines: redisUsers
      .flatMap(user => [`user-${user} = ${nameOf(user)}`, `password-file-${user} = ${fileOf(user)}`])
      .join('\n'),
    allow(ini) {
      allowing = allowing.then(() => allowOne(ini));
      return allowing;
    },
    refusals: async () => (await Promise.all(nodes.map(readRefusals))).flat(),
  };
}

async function tellNode({ url, aclFile = '' }: Server, command: string[]): Promise<void> {
  const tell = async (redis: Redis) => {
    await redis.acl('SETUSER', ...(command as [string, ...string[]]));
    await redis.acl('SAVE');
  };
  await ask(url, tell).catch(() => addToFile(aclFile, command));
}

const readRefusals = ({ url }: Server): Promise<string[]> =>
  ask(url, async redis => ((await redis.acl('LOG')) as unknown[][]).flatMap(toRefusal)).catch(() => []);

/** Where Redis is stopped, it reads them when it starts again. */
async function addToFile(file: string, [name = '', ...words]: string[]): Promise<void> {
  const lines = (await readFile(file, 'utf8')).split('\n').filter(line => line !== '');
  const at = lines.findIndex(line => line.startsWith(`user ${name} `));
  if (at < 0) lines.push(`user ${name} ${words.join(' ')}`);
  else lines[at] += ` ${words.join(' ')}`;
  await writeFile(file, `${lines.join('\n')}\n`);
}

/** An entry of `ACL LOG`: names and values in turn. */
function toRefusal(entry: unknown[]): string[] {
  const { username, reason, context, object } = Object.fromEntries(
    entry.flatMap((name, at) => (at % 2 === 0 ? [[name, entry[at + 1]]] : [])),
  );
  const ours = redisUsers.some(user => nameOf(user) === username);
  return ours && reason !== 'auth' ? [`${username}: ${reason} ${object} (${context})`] : [];
}

async function ask<T>(url: string, act: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, {
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    commandTimeout: 5_000, // it may be frozen
  });
  redis.on('error', () => {}); // the rejection says the same
  try {
    await redis.connect();
    return await act(redis);
  } finally {
    redis.disconnect();
  }
}
