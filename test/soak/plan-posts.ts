import type { Random } from './random.ts';

/** A CSR that clients have; its key and its PEM are made when it is first posted. */
export type PlannedCsr = {
  names: string[];
  /** The CA refuses one of the names, so that nothing but a 403 is right. */
  refused: boolean;
};

export type PlannedPost = {
  /** Milliseconds since the soak began. */
  at: number;
  /** Which CSR, by its number. */
  csr: number;
  /** Sent with `Prefer: respond-async`; the result is fetched. */
  async: boolean;
  /** Which intake is tried first. */
  intake: number;
};

export type PostPlan = { csrs: PlannedCsr[]; posts: PlannedPost[] };

/** On the list that Pebble refuses (test/support/pebble.ts). */
const blockedDomain = 'blocked-domain.example';
/**
 * One of the last so many CSRs is posted again: some are still being worked on, others are in the storage.
 */
const memory = 40;

/**
 * What clients do for so many milliseconds, about four posts a second: mostly new names, one to three each;
 * besides CSRs that were posted before, the same CSR twice at once, several CSRs for the same names, and
 * names that the CA refuses.
 */
export function planPosts(random: Random, durationMs: number): PostPlan {
  const csrs: PlannedCsr[] = [];
  const posts: PlannedPost[] = [];
  const addCsr = (names: string[], refused = false) => csrs.push({ names, refused }) - 1;
  const post = (at: number, csr: number, async = false) => {
    posts.push({ at, csr, async, intake: Math.floor(random.next() * 100) });
  };
  const newNames = () => {
    const host = `h${csrs.length}.soak.example`;
    return [host, `www.${host}`, `mail.${host}`].slice(0, random.pick([1, 1, 1, 2, 3]));
  };

  for (let at = 0; at < durationMs; at += random.between(150, 400)) {
    const kind = random.next();
    if (kind < 0.5) post(at, addCsr(newNames()));
    else if (kind < 0.65) post(at, addCsr(newNames()), true);
    else if (kind < 0.8)
      post(at, Math.max(0, csrs.length - 1 - Math.floor(random.next() * memory)), random.next() < 0.2);
    else if (kind < 0.88) {
      const csr = addCsr(newNames());
      post(at, csr);
      post(at, csr);
    } else if (kind < 0.97) {
      const names = newNames();
      for (let twin = random.pick([2, 2, 3]); twin > 0; twin--) post(at, addCsr(names), random.next() < 0.2);
    } else post(at, addCsr([`r${csrs.length}.${blockedDomain}`], true));
    // The first post may be one that was made before: then there has to be one.
    if (csrs.length === 0) addCsr(newNames());
  }
  return { csrs, posts };
}
