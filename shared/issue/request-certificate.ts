import type { Admission, AdmittingBlock, AuthBlock } from '../admission/admit.ts';
import { type Clock, fromSignFailure, IssuanceError, type Log, needingRedis } from '../base/basics.ts';
import type { Identifier } from '../base/identifier.ts';
import { judgeRedisError } from '../base/redis-errors.ts';
import { proofOf, type StandingLimits } from '../limits/limits.ts';
import { type BlockedKey, refuseKey } from '../limits/standing-limit.ts';
import { goesElsewhere } from '../order/fail-over.ts';
import { type Certificate, readCertificate } from '../pki/certificate.ts';
import type { CsrText, ParsedCsr } from '../pki/csr.ts';
import { certificateKeyDigest } from '../pki/public-key.ts';
import type { SignQueue } from '../queue/sign-queue.ts';
import type { SignJobData } from '../queue/sign-records.ts';
import type { StoredRenewals } from '../renewal/stored-renewals.ts';
import { isIssuedFor } from '../storage/issued-for.ts';
import type { IssuedBy, Storage, StoredCertificate } from '../storage/storage.ts';
import type { Trail } from '../trail/trail.ts';
import { enqueueOnce } from './enqueue-once.ts';
import { type Asker, openFetchRecord, openHandOut } from './hand-out.ts';
import { openOwnStorage } from './own-storage.ts';

/** A certificate as a client gets it. */
export type IssuedCertificate = {
  /** PEM, leaf first. */
  chain: string;
  /** The name of the account that ordered it; absent where that is not recorded. */
  account?: string | undefined;
};

/** `unread`: the storage that could not be read, and why: nobody knows whether it has a certificate. */
type Found = {
  stored?: IssuedCertificate & { identifiers: Identifier[] };
  unread?: { storage: string; fault: IssuanceError };
};

/** A job that orders a certificate; identical requests share one. */
type OrderJob = {
  /** Unguessable. */
  id: string;
  /**
   * To be awaited before the request is answered, with the chain or without: remembers that the client left
   * before the job ended, so that its next identical request gets this job's result.
   */
  answers(chain: string | undefined): Promise<void>;
};

/** What of a CSR is ordered. */
type Ordered = Pick<ParsedCsr, 'identifiers' | 'publicKey'>;

/**
 * The way from an admitted request to a certificate, whatever protocol the client speaks: look in storage,
 * else order, then wait for the result. Each call throws IssuanceError `unavailable` when Redis cannot be
 * reached.
 */
export type Issuing = {
  /**
   * A fresh certificate from the storage of the block that would order it, with the names that it was stored
   * with. It is handed out only for names of that block.
   *
   * @throws IssuanceError `denied` where its key is blocked
   */
  findStored(blocks: AdmittingBlock[], csr: CsrText, asker: Asker): Promise<Found>;
  /**
   * Has a certificate ordered for names that `block` admitted.
   *
   * @param request `identifiers` and `publicKey` are the CSR's; `patience` is how long the client waits for
   *   the result, in milliseconds; `client` is its address
   * @throws IssuanceError the limit that keeps every account of the block from ordering now; `denied` where
   *   the key is blocked
   */
  order(
    block: AdmittingBlock,
    csr: CsrText,
    request: Ordered & { requestId: string; client: string; patience: number },
  ): Promise<OrderJob>;
  /**
   * The certificate of a job that succeeded; `undefined` when the signal fires first, or when Redis has lost
   * the job.
   *
   * @throws IssuanceError with which the job failed, or `denied` where the key is blocked since; a bare Error
   *   where a bug ended it
   */
  result(jobId: string, signal: AbortSignal): Promise<IssuedCertificate | undefined>;
  /**
   * The name of the auth block whose clients may have the job's result; `undefined` where there is no such
   * job.
   */
  blockOf(jobId: string): Promise<string | undefined>;
};

export function openIssuing(parts: {
  admission: Pick<Admission, 'find'>;
  storages: ReadonlyMap<string, Storage>;
  /** Of each account, by its name. */
  limits: ReadonlyMap<string, Pick<StandingLimits, 'standingAgainst'>>;
  /** All that are configured. */
  accounts: readonly IssuedBy[];
  signQueue: SignQueue;
  renewals: Pick<StoredRenewals, 'fetched'>;
  /** By their `keyDigest`; kept up to date by the caller. Orders are held to what Redis says. */
  blockedKeys: ReadonlyMap<string, BlockedKey>;
  trail: Pick<Trail, 'write'>;
  /** Milliseconds that a client waits for a look into a storage. */
  longestLook?: number;
  clock: Clock;
  log: Log;
}): Issuing {
  const { admission, storages, limits, accounts, signQueue, renewals, blockedKeys, clock, log } = parts;
  const { trail, longestLook } = parts;
  const recordFetch = openFetchRecord(renewals, clock, log);
  const tellOfHit = openHandOut(trail, clock);
  const ownStorage = openOwnStorage(admission);

  function storagesFor(blocks: AdmittingBlock[], csr: CsrText): Set<string> {
    const all = new Set(blocks.map(({ storage }) => storage));
    const own = all.size > 1 ? ownStorage(blocks, csr) : undefined;
    return own === undefined ? all : new Set([own]);
  }

  return {
    async findStored(blocks, csr, asker) {
      let unread: Found['unread'];
      for (const name of storagesFor(blocks, csr)) {
        const blockFor = (found: StoredCertificate) => {
          const block = admission.find(blocks, found.leaf.identifiers);
          const isGood = block?.storage === name && isIssuedFor(found, accountsOf(block, accounts), accounts);
          return isGood ? block : undefined;
        };
        const isGood = (found: StoredCertificate) => blockFor(found) !== undefined;
        const stored = await lookUp(() => storages.get(name)?.get(csr, isGood, longestLook));
        if (stored instanceof IssuanceError) unread = { storage: name, fault: stored };
        if (stored instanceof IssuanceError) continue;
        const block = stored && blockFor(stored);
        if (!stored || !block) continue;
        if (blockedKeys.size > 0) refuseBlocked(blockedKeys, stored.leaf);
        recordFetch(block, csr);
        await tellOfHit(stored, block, asker);
        return { stored: { ...toIssued(stored), identifiers: stored.leaf.identifiers } };
      }
      return unread ? { unread } : {};
    },
    async order(block, csr, request) {
      const limit = await needingRedis(() => limitAtEveryAccount(limits, block, request, csr.digest));
      if (limit) throw limit;
      const { by, clientNames, once } = block;
      const known = { by, ...(clientNames && { clientNames }), ...(once && { spends: once.digest }) };
      const data = toSignJob(block, csr, { ...request, ...known });
      const id = await (once ? enqueueOnce(once, csr.digest, data, signQueue) : signQueue.enqueue(data));
      const told = trail.write(toAdmitted(data, id, clock.now()));
      told.catch(() => {}); // who answers hears of it
      return {
        id,
        async answers(chain) {
          await told;
          if (chain === undefined) await signQueue.promise(id, data);
        },
      };
    },
    async result(jobId, signal) {
      const result = await signQueue.result(jobId, signal);
      if (result?.outcome === 'failed') throw fromSignFailure(result.error);
      if (result && blockedKeys.size > 0) refuseBlocked(blockedKeys, readCertificate(result.chain));
      return result && toIssued(result);
    },
    blockOf: signQueue.blockOf,
  };
}

function toAdmitted(
  { identifiers, block, by, client, requestId: request }: SignJobData,
  job: string,
  at: number,
) {
  const names = identifiers.map(({ value }) => value);
  return { at, event: 'admitted' as const, names, block, by, client, request, job };
}

/** The job that an auth block's clients are given for a CSR whose identifiers it admits. */
export function toSignJob(
  { name, accounts, verifications, storage }: AuthBlock,
  csr: CsrText,
  more: Omit<SignJobData, 'csr' | 'accounts' | 'solvers' | 'storage' | 'block'>,
): SignJobData {
  return {
    csr: csr.pem,
    accounts,
    solvers: verifications,
    storage,
    block: name,
    ...more,
  };
}

/** @returns why it cannot be read, where it cannot */
async function lookUp(
  look: () => Promise<StoredCertificate | undefined> | undefined,
): Promise<StoredCertificate | IssuanceError | undefined> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof IssuanceError) return error;
    if (judgeRedisError(error) === undefined) throw error;
    return needingRedis(() => Promise.reject(error)).catch((known: IssuanceError) => known);
  }
}

function refuseBlocked(blockedKeys: ReadonlyMap<string, BlockedKey>, leaf: Certificate): void {
  const blocked = blockedKeys.get(certificateKeyDigest(leaf));
  if (blocked) throw refuseKey(blocked);
}

const toIssued = ({ chain, issuedBy }: Pick<StoredCertificate, 'chain' | 'issuedBy'>): IssuedCertificate => ({
  chain,
  account: issuedBy?.account,
});

const accountsOf = (block: AuthBlock, all: readonly IssuedBy[]) =>
  all.filter(one => block.accounts.some(({ account }) => account === one.account));

/**
 * Why no account can order these names now, in the words of the first account. A CA that asked for a moment
 * (`unavailable`) keeps no client from waiting; names whose validation fails would fail at every CA, as does
 * a CSR, but for what only this CA has against it, and a blocked key.
 */
async function limitAtEveryAccount(
  limits: ReadonlyMap<string, Pick<StandingLimits, 'standingAgainst'>>,
  { name: block, accounts, verifications, challenges }: AuthBlock,
  { identifiers, publicKey }: Ordered,
  csr: string,
): Promise<IssuanceError | undefined> {
  const proofs = challenges.map((challengeType, at) => ({ name: verifications[at] ?? '', challengeType }));
  const orderer = { block, proof: proofOf(identifiers, proofs) };
  const standing = accounts.map(({ account }) =>
    limits.get(account)?.standingAgainst(identifiers, orderer, csr, publicKey),
  );
  const found = (await Promise.all(standing)).filter(limit => limit !== undefined);
  const lasting = found.filter(({ code }) => code !== 'unavailable');
  const everywhere = lasting.length === accounts.length ? lasting[0] : undefined;
  return lasting.find(isHopeless) ?? everywhere;
}

function isHopeless(limit: IssuanceError): boolean {
  if (limit.code === 'denied') return true;
  return (limit.code === 'badCsr' || limit.code === 'challengeFailed') && !goesElsewhere(limit, 0, false);
}
