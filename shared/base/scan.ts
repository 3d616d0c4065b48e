import type { Redis } from 'ioredis';

/** Escapes a prefix for a MATCH pattern. */
export const escapeGlob = (text: string) => text.replace(/[\\*?[\]]/g, '\\$&');

/**
 * Keys by a pattern, part by part.
 *
 * @param start what all of them begin with, as text
 * @param rest the pattern of what comes behind it
 * @param cursor of the part before; '0' at the end, and at first
 */
export function scanPart(
  redis: Redis,
  { start, rest, count }: { start: string; rest: string; count: number },
  cursor: string,
): Promise<[cursor: string, keys: string[]]> {
  return redis.scan(cursor, 'MATCH', escapeGlob(start) + rest, 'COUNT', count);
}

/** All of them. */
export async function* scanAll(redis: Redis, start: string, rest: string): AsyncGenerator<string> {
  for (let cursor: string | undefined; cursor !== '0'; ) {
    const part = await scanPart(redis, { start, rest, count: 500 }, cursor ?? '0');
    cursor = part[0];
    yield* part[1];
  }
}
