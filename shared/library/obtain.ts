import { parseIdentifier } from '../base/identifier.ts';
import { acceptFor } from '../order/accept-chain.ts';
import { withdrawAll } from '../order/challenges.ts';
import { driveOrder } from '../order/drive-order.ts';
import { retryTime, SHORT_PATIENCE } from '../order/fail-over.ts';
import { newCheckpoint } from '../order/next-step.ts';
import { makeCsr } from '../pki/make-csr.ts';
import { readPrivateKey } from '../pki/private-key.ts';
import type { Solver } from '../solver/solver.ts';
import type { Account } from './account.ts';

/** What is to be obtained, and how. */
export type Wanted = {
  /** DNS names, which may be wildcards, and IP addresses; at least one. */
  names: readonly string[];
  /** The certificate's key: PKCS#8 PEM, RSA or EC. */
  key: string;
  /** In the order of preference. */
  solvers: readonly Solver[];
  /** A certificate profile that the CA's directory offers. */
  profile?: string;
  /** Of several chains, the one whose topmost certificate the issuer of this common name signed. */
  preferredChain?: string;
  /** The certificate that this one renews, as `renewalInfoId` makes it (RFC 9773 section 5). */
  replaces?: string;
  /** Gets what went wrong where the order goes on all the same, in one line. */
  warn?: (fault: string) => void;
  signal?: AbortSignal;
};

/** Milliseconds for taking back what is presented when the signal fires. */
const LAST_STEP = 3_000;

/**
 * Goes from names to a certificate (RFC 8555 section 7.4), as Quarry itself does: orders, has the solvers
 * answer the challenges, tells the CA, waits, finalizes, fetches the chain. A CA that is away is asked again
 * for a while, one that has lost the order gets another. The certificate is checked for its key, its names
 * and its time.
 *
 * @returns `chain`: PEM, leaf first; `certificate`: its URL at the CA
 * @throws IssuanceError that says why there is no certificate; or the signal's reason. Nothing is presented
 *   then
 */
export async function obtain(
  account: Pick<Account, 'client' | 'connection'>,
  wanted: Wanted,
): Promise<{ chain: string; certificate: string }> {
  const { names, key, solvers, profile, preferredChain, replaces, warn } = wanted;
  const { signal = new AbortController().signal } = wanted;
  const { clock } = account.connection;
  const identifiers = names.map(parseIdentifier);
  const csr = await makeCsr(readPrivateKey(key), identifiers);
  const task = {
    identifiers,
    csr,
    certificateProfile: profile,
    preferredChain,
    replaces,
    accept: acceptFor(identifiers, csr, clock),
  };
  const acme = account.client(signal);
  let last = newCheckpoint();
  const parts = {
    acme,
    solvers,
    clock,
    signal,
    longestWait: Number.POSITIVE_INFINITY,
    ...(warn && { warn }),
    save: async (checkpoint: typeof last) => {
      last = checkpoint;
    },
    judge: async (error: unknown, checkpoint: typeof last) => {
      const again = retryTime(error, checkpoint, clock.now(), SHORT_PATIENCE);
      return again ? { do: 'retry' as const, ...again } : { do: 'fail' as const, error };
    },
  };
  try {
    const driven = await driveOrder(parts, task, last);
    if (driven.end !== 'issued') throw new Error(`the order ended with ${driven.end}`);
    return { chain: driven.chain, certificate: driven.certificate };
  } catch (error) {
    if (signal.aborted) {
      // Nothing goes on with this order later.
      const ending = AbortSignal.timeout(LAST_STEP);
      await withdrawAll({ acme, solvers, signal: ending }, last.order.challenges).catch(() => {});
    }
    throw error;
  }
}
