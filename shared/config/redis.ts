import { resolve } from 'node:path';
import { type Environment, readVariable } from './environment.ts';
import { parseText } from './option-values.ts';
import type { Parse, SectionReader } from './section-reader.ts';

export type RedisConfig = {
  /**
   * `redis://`, `rediss://` or `unix:/path`; may hold a password. Absent: `quarry up` starts a private Redis.
   */
  url?: string;
  /** What every key begins with; the braces keep all of them on one node of a cluster. */
  prefix: string;
  /** Where a private Redis keeps its data. */
  dir: string;
};

/** `[redis]`; `REDIS_URL` stands in for an absent `url`. */
export function parseRedis(section: SectionReader, env: Environment): RedisConfig {
  const url = section.one('url', parseRedisUrl) ?? readVariable(env, 'REDIS_URL', parseRedisUrl);
  const prefix = section.one('prefix', parsePrefix) ?? '{quarry}';
  const dir = section.one('dir', parseText) ?? './quarry-data';
  section.finish();
  return { ...(url !== undefined && { url }), prefix, dir };
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

const parsePrefix: Parse<string> = (text, fail) =>
  /^\S+$/.test(text) ? text : fail('must be one word without spaces');
