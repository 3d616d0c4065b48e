import { setTimeout as delay } from 'node:timers/promises';
import { type PostRecord, runClient } from './client.ts';
import { type Csr, makeCsr } from './csrs.ts';
import type { PlannedCsr, PostPlan } from './plan-posts.ts';

export type Posts = {
  /** Resolves when the last post is sent, which is long before it is answered. */
  sent: Promise<void>;
  /** Of the posts that are over. */
  records: PostRecord[];
  csrs: ReadonlyMap<number, Csr>;
  /**
   * Resolves when all clients have what they want; at the latest after so long, when those that wait give up.
   */
  drain(timeoutMs: number): Promise<void>;
};

/** Posts what is planned, whatever becomes of the posts before. */
export function startPosts(plan: PostPlan, intakes: string[]): Posts {
  const records: PostRecord[] = [];
  const csrs = new Map<number, Csr>();
  const making = new Map<number, Promise<Csr>>();
  const clients: Promise<void>[] = [];
  const patience = new AbortController();

  const csrOf = (number: number) => {
    const made = making.get(number) ?? makeCsr(plan.csrs[number] as PlannedCsr);
    making.set(number, made);
    return made;
  };
  const runOne = async (post: PostPlan['posts'][number]) => {
    const csr = await csrOf(post.csr);
    csrs.set(post.csr, csr);
    records.push(await runClient(post, { intakes, csrPem: csr.csrPem, patience: patience.signal }));
  };
  const send = async () => {
    const began = performance.now();
    for (const post of plan.posts) {
      await delay(Math.max(0, began + post.at - performance.now()));
      clients.push(runOne(post));
    }
  };

  return {
    sent: send(),
    records,
    csrs,
    async drain(timeoutMs) {
      const giveUp = setTimeout(() => patience.abort(), timeoutMs);
      await Promise.all(clients);
      clearTimeout(giveUp);
    },
  };
}
