import type { IssuanceError } from '../base/errors.ts';
import { parseNumber, parseValue, type Store } from '../base/redis.ts';
import { runAll } from '../base/refusals.ts';
import { openIndexWriter, type Written } from './index-writer.ts';
import { isManaged, isRenewed, type LastFetch, type ManagedCertificate } from './managed-certificate.ts';
import { planWanted } from './renewal-window.ts';

export { isRenewed, type LastFetch, type ManagedCertificate } from './managed-certificate.ts';

export type FoundCertificate = {
  managed: ManagedCertificate;
  /** When to look at it. */
  at: number;
  /** What it follows. */
  known: ManagedCertificate | undefined;
};

/**
 * What Quarry renews or watches, ordered by when something is to be done, so that no look ever goes
 * over all of it: in Redis, written by workers that issue a certificate, and by the scheduler.
 */
export type RenewalIndex = {
  /** Writes a certificate in place of the one that it follows. `at`: when to look at it. */
  add(managed: ManagedCertificate, at: number): Promise<void>;
  /** Writes each, unless another one is there by now than what was `known` when it was made. */
  addFound(found: readonly FoundCertificate[]): Promise<void>;
  /**
   * Writes what was found out of a certificate; does nothing, and returns false, where a successor is there
   * by now.
   */
  save(managed: ManagedCertificate, at: number): Promise<boolean>;
  remove(id: string): Promise<void>;
  /** The ids that are due, the most urgent first, and what is only watched last. */
  due(now: number, limit: number): Promise<string[]>;
  read(ids: string[]): Promise<(ManagedCertificate | undefined)[]>;
  /** Has them due at another time, whatever they are. */
  putOff(ids: string[], at: number): Promise<void>;
  /** Remembers that a client got the certificate. */
  fetched(id: string, fetch: LastFetch): Promise<void>;
  lastFetches(ids: string[]): Promise<(LastFetch | undefined)[]>;
  /** Has a certificate renewed now, whatever its plan says. */
  force(id: string, now: number): Promise<void>;
  /** Has a certificate renewed from then on, also one that is only watched, unless its plan says sooner. */
  reissue(id: string, at: number): Promise<void>;
  /** All of it, in parts. */
  list(): AsyncIterable<ManagedCertificate[]>;
  /** What Quarry renews by itself, in parts, the soonest to expire first. */
  listByEnd(): AsyncIterable<ManagedCertificate[]>;
  /** Of what Quarry renews by itself; `soonestEnd` is of what is not left to expire. */
  counts(
    now: number,
  ): Promise<{ managed: number; due: number; failed: number; soonestEnd: number | undefined }>;
};

const LIST_PART = 500;

/**
 * @param damaged gets each entry that cannot be read, which is passed over then; by default it is thrown
 */
export function openRenewalIndex(
  { redis, prefix }: Store,
  damaged: (error: IssuanceError) => void = error => {
    throw error;
  },
): RenewalIndex {
  const key = (name: string) => `${prefix}:renewals:${name}`;
  const [entries, due, ends, failed] = [key('entries'), key('due'), key('ends'), key('failed')];
  const [fetches, wanted, watched] = [key('fetched'), key('wanted'), key('watched')];
  const writeAll = openIndexWriter(redis, { entries, due, ends, failed, wanted, watched });

  const write = async (managed: ManagedCertificate, at: number, over: Written['over']) =>
    (await writeAll([toWritten(managed, at, over)])) === 1;

  async function read(ids: string[]): Promise<(ManagedCertificate | undefined)[]> {
    if (ids.length === 0) return [];
    return (await redis.hmget(entries, ...ids)).map((text, at) => parse(ids[at], text));
  }

  function parse(id: string | undefined, text: string | null | undefined): ManagedCertificate | undefined {
    try {
      return text ? parseEntry(`${entries} ${id}`, text) : undefined;
    } catch (error) {
      return void damaged(error as IssuanceError);
    }
  }

  /**
   * The ids of a part of what ends from a score on, with all that end with the last of them: an end is a
   * place to go on from, while ranks move with whatever is added or removed meanwhile.
   */
  async function endingFrom(score: string): Promise<{ ids: string[]; next: string | undefined }> {
    const found = await redis.zrangebyscore(ends, score, '+inf', 'WITHSCORES', 'LIMIT', 0, LIST_PART);
    const last = found.at(-1);
    if (last === undefined) return { ids: [], next: undefined };
    const before = found.filter((_, index) => index % 2 === 0 && found[index + 1] !== last);
    return { ids: [...before, ...(await redis.zrangebyscore(ends, last, last))], next: `(${last}` };
  }

  return {
    add: async (managed, at) => {
      await write(managed, at, 'anything');
    },
    async addFound(found) {
      await writeAll(found.map(({ managed, at, known }) => toWritten(managed, at, overOnly(known))));
    },
    save: (managed, at) => write(managed, at, overOnly(managed)),
    async remove(id) {
      await runAll(redis, all => {
        for (const set of [due, ends, wanted, watched]) all.zrem(set, id);
        return all.hdel(entries, id).srem(failed, id).hdel(fetches, id);
      });
    },
    async due(now, limit) {
      const ids = await redis.zrangebyscore(due, '-inf', now, 'LIMIT', 0, limit);
      if (ids.length >= limit) return ids;
      return [...ids, ...(await redis.zrangebyscore(watched, '-inf', now, 'LIMIT', 0, limit - ids.length))];
    },
    read,
    async putOff(ids, at) {
      for (const set of [due, watched]) for (const id of ids) await redis.zadd(set, 'XX', at, id);
    },
    async fetched(id, { at, block }) {
      await redis.hset(fetches, id, `${at} ${block}`);
    },
    async lastFetches(ids) {
      if (ids.length === 0) return [];
      const found = await redis.hmget(fetches, ...ids);
      return found.map((text, at) => parseFetch(`${fetches} ${ids[at]}`, text));
    },
    async force(id, now) {
      const [managed] = await read([id]);
      if (managed) await write({ ...managed, forced: true }, now, overOnly(managed));
    },
    async reissue(id, at) {
      const [managed] = await read([id]);
      if (!managed) return;
      const { plan } = managed;
      const sooner = at < plan.at ? planWanted(at) : plan;
      await write({ ...managed, reissue: at, plan: sooner }, at, overOnly(managed));
    },
    async *list() {
      let cursor = '0';
      do {
        const [next, found] = await redis.hscan(entries, cursor, 'COUNT', LIST_PART);
        cursor = next;
        yield found.flatMap((id, index) => (index % 2 === 0 ? (parse(id, found[index + 1]) ?? []) : []));
      } while (cursor !== '0');
    },
    async *listByEnd() {
      const listed = new Set<string>(); // what is renewed meanwhile would come again, at its new end
      for (let score: string | undefined = '-inf'; score !== undefined; ) {
        const part: Awaited<ReturnType<typeof endingFrom>> = await endingFrom(score);
        const ids = part.ids.filter(id => !listed.has(id));
        for (const id of ids) listed.add(id);
        for (let at = 0; at < ids.length; at += LIST_PART)
          yield (await read(ids.slice(at, at + LIST_PART))).filter(managed => managed !== undefined);
        score = part.next;
      }
    },
    async counts(now) {
      const [managed, dueNow, failures, soonest] = await Promise.all([
        redis.zcard(ends),
        redis.zcount(due, '-inf', now),
        redis.scard(failed),
        redis.zrangebyscore(wanted, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 1),
      ]);
      const soonestEnd = soonest[1] === undefined ? undefined : Number(soonest[1]);
      return { managed, due: dueNow, failed: failures, soonestEnd };
    },
  };
}

const overOnly = (known: ManagedCertificate | undefined) => ({ certificate: known?.certificate });

function toWritten(managed: ManagedCertificate, at: number, over: Written['over']): Written {
  const { id, certificate, notAfter, failures, left = false } = managed;
  const flags = { failed: failures !== undefined, left, watched: !isRenewed(managed) };
  return { id, over, certificate, text: JSON.stringify(managed), at, notAfter, ...flags };
}

function parseEntry(key: string, text: string): ManagedCertificate {
  const managed = parseValue(key, text.slice(text.indexOf('\n') + 1), isManaged);
  return { ...managed, renews: managed.renews ?? true }; // written before anything was only watched
}

function parseFetch(key: string, text: string | null): LastFetch | undefined {
  if (text === null) return undefined;
  const space = text.indexOf(' ');
  return { at: parseNumber(key, text.slice(0, space)), block: text.slice(space + 1) };
}
