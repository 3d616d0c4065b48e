import { setTimeout as delay } from 'node:timers/promises';
import type { RuleOptions } from '../support/fault-proxy.ts';
import type { MemberRole } from './member.ts';
import type { Random } from './random.ts';
import type { System } from './system.ts';

export type HitKind = keyof typeof acts;

export type Hit = {
  /** Milliseconds since the soak began. */
  at: number;
  kind: HitKind;
  /** How long what is hit stays away or works badly, in milliseconds. */
  forMs: number;
  /** Which member is hit. */
  target: number;
};

/** What was done, as it happened; times are those of `performance.now()`. */
export type HitRecord = { hit: Hit; from: number; to: number };

type Act = (system: System, hit: Hit) => Promise<void>;

const acts = {
  'a worker is killed': member('worker', 'SIGKILL'),
  'a worker is stopped': member('worker', 'SIGTERM'),
  'a responder is killed': member('responder', 'SIGKILL'),
  'a responder is stopped': member('responder', 'SIGTERM'),
  'an intake is stopped': member('intake', 'SIGTERM'),
  'Redis is killed': ({ redis }, { forMs }) => redis.kill(forMs),
  'the CA is killed': ({ cas: [ca] }, { forMs }) => ca.kill(forMs),
  'the CA refuses connections': async ({ cas: [{ proxy }] }, { forMs }) => {
    await proxy.goDown();
    await delay(forMs);
    await proxy.comeBack();
  },
  'the CA has a wrong certificate': async ({ cas: [{ proxy }] }, { forMs }) => {
    await proxy.presentWrongCertificate();
    await delay(forMs);
    await proxy.presentRightCertificate();
  },
  'the CA loses requests': rule(0.3, { drop: 'before' }),
  'the CA loses answers': rule(0.3, { drop: 'after' }),
  'the CA cuts answers': rule(0.3, { cutAfter: 60 }),
  'the CA dawdles': rule(0.5, { delay: 2_000, side: 'after' }),
  'the CA answers 500': rule(0.5, {
    answer: { status: 500, problem: { type: 'serverInternal', detail: 'soaked' } },
  }),
  'the CA answers 502': rule(0.5, {
    answer: { status: 502, body: '<html>bad gateway</html>', nonce: false },
  }),
  'the CA is busy': async ({ cas: [{ proxy }] }, { forMs }) => {
    const busy = proxy.playBusyLoadBalancer({ retryAfter: 3 });
    await delay(forMs);
    busy.remove();
  },
} satisfies Record<string, Act>;

/** One of its kind at a time, so that there is always an intake and a responder left. */
function member(role: MemberRole, signal: 'SIGKILL' | 'SIGTERM'): Act {
  return async ({ members }, { target, forMs }) => {
    const ofRole = members.filter(one => one.role === role);
    await ofRole[target % ofRole.length]?.hit(signal, forMs);
  };
}

/** Some of the requests suffer, by chance, so that orders get on all the same. */
function rule(share: number, act: NonNullable<RuleOptions['do']>): Act {
  return async ({ cas: [{ proxy }] }, { forMs }) => {
    const added = proxy.rule({ when: () => Math.random() < share, do: act });
    await delay(forMs);
    added.remove();
  };
}

const caKill: HitKind = 'the CA is killed';
/** Milliseconds from one to the next, so that there is time in which the CA is well. */
const caKillEvery = 120_000;
/** What matters most comes twice. */
const deck: HitKind[] = [
  ...(Object.keys(acts) as HitKind[]).filter(kind => kind !== caKill),
  'a worker is killed',
  'Redis is killed',
];

/**
 * Hits with a distance between their beginnings, in which the system can work. Kinds come as from a deck of
 * cards: each before any comes again. Besides, the first CA is killed for so long that orders go to the other
 * one.
 *
 * @param durationMs the last ends before
 */
export function planHits(random: Random, durationMs: number): Hit[] {
  const hits: Hit[] = [];
  let cards: HitKind[] = [];
  let nextCaKill = durationMs * random.between(0.2, 0.4);
  for (let at = 4_000; at < durationMs - 6_000; at += random.between(4_500, 8_000)) {
    if (at > nextCaKill) {
      hits.push({ at, kind: caKill, forMs: random.between(8_000, 16_000), target: 0 });
      nextCaKill += caKillEvery;
      continue;
    }
    if (cards.length === 0) cards = random.shuffle(deck);
    const kind = cards.pop() as HitKind;
    hits.push({ at, kind, forMs: random.between(500, 4_000), target: Math.floor(random.next() * 60) });
  }
  return hits;
}

/** Does what is planned; resolves when the last hit is over and nothing is away any more. */
export async function performHits(
  hits: readonly Hit[],
  system: System,
  tell: (text: string) => void,
): Promise<HitRecord[]> {
  const began = performance.now();
  const records: HitRecord[] = [];
  const subjects = new Map<string, Promise<void>>();
  for (const hit of hits) {
    await delay(Math.max(0, began + hit.at - performance.now()));
    const subject = subjectOf(hit.kind);
    // A member that is slow to start is not hit again before it runs: the other one may be needed.
    const done = (subjects.get(subject) ?? Promise.resolve()).then(async () => {
      tell(`${hit.kind}${whom(hit, system)}, for ${(hit.forMs / 1000).toFixed(1)} s`);
      const from = performance.now();
      await acts[hit.kind](system, hit);
      records.push({ hit, from, to: performance.now() });
    });
    done.catch(() => {}); // looked at below
    subjects.set(subject, done);
  }
  await Promise.all(subjects.values());
  return records;
}

function subjectOf(kind: HitKind): string {
  return ['worker', 'responder', 'intake', 'Redis'].find(subject => kind.includes(subject)) ?? 'CA';
}

function whom({ kind, target }: Hit, { members }: System): string {
  const ofRole = members.filter(({ role }) => kind.includes(role));
  return ofRole.length === 0 ? '' : ` (${ofRole[target % ofRole.length]?.name})`;
}
