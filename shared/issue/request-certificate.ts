import type { Admission, AdmittingBlock, AuthBlock } from '../admission/admit.ts';
import type { Clock, Log } from '../base/basics.ts';
import { fromSignFailure, IssuanceError } from '../base/errors.ts';
import type { Identifier } from '../base/identifier.ts';
import { needingRedis } from '../base/redis.ts';
import { judgeRedisError } from '../base/redis-errors.ts';
import { type Orderer, proofOf } from '../limits/limits.ts';
import { type BlockedKey, refuseKey } from '../limits/standing-limit.ts';
import { type Certificate, readCertificate } from '../pki/certificate.ts';
import type { CsrText } from '../pki/csr.ts';
import { certificateKeyDigest } from '../pki/public-key.ts';
import type { Against, SignQueue } from '../queue/sign-queue.ts';
import type { SignJobData } from '../queue/sign-records.ts';
import type { StoredRenewals } from '../renewal/stored-renewals.ts';
import { isIssuedFor } from '../storage/issued-for.ts';
import type { IssuedBy, Storage, StoredCertificate } from '../storage/storage.ts';
import type { Trail } from '../trail/trail.ts';
import { enqueueOnce } from './enqueue-once.ts';
import { openFetchRecord, openHandOut } from './hand-out.ts';
import type { Found, IssuedCertificate, Issuing, Ordered } from './issuing.ts';
import { type AllLimits, limitAtEveryAccount } from './limit-at-every-account.ts';
import { openOwnStorage } from './own-storage.ts';
import { toProgress } from './progress.ts';

export type { ClientOrder, IssuedCertificate, Issuing } from './issuing.ts';

export function openIssuing(parts: {
  admission: Pick<Admission, 'find'>;
  storages: ReadonlyMap<string, Storage>;
  limits: AllLimits;
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
  const { standings } = signQueue;
  const recordFetch = openFetchRecord(renewals, clock, log);
  const tellOfHit = openHandOut(trail, clock);
  const ownStorage = openOwnStorage(admission);

  function storagesFor(blocks: AdmittingBlock[], csr: CsrText): Set<string> {
    const all = new Set(blocks.map(({ storage }) => storage));
    const own = all.size > 1 ? ownStorage(blocks, csr) : undefined;
    return own === undefined ? all : new Set([own]);
  }

  /** The block that would order a stored certificate, where that would be from the same and as good. */
  function holderOf(found: StoredCertificate, blocks: AdmittingBlock[], storage: string) {
    const block = admission.find(blocks, found.leaf.identifiers);
    const isGood = block?.storage === storage && isIssuedFor(found, accountsOf(block, accounts), accounts);
    return isGood ? block : undefined;
  }

  return {
    async findStored(blocks, csr, asker) {
      let unread: Found['unread'];
      for (const name of storagesFor(blocks, csr)) {
        // A storage asks it of what it finds, and what it gives is asked about again below.
        let judged: { found?: StoredCertificate; block?: AdmittingBlock | undefined } = {};
        const blockFor = (found: StoredCertificate) => {
          if (judged.found !== found) judged = { found, block: holderOf(found, blocks, name) };
          return judged.block;
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
    limitAgainst: (block, identifiers) => {
      const against = { identifiers, orderer: ordererOf(block, identifiers) };
      return needingRedis(() => limitAtEveryAccount(limits, block.accounts, against));
    },
    async order(block, csr, request, clientOrder) {
      const { by, clientNames, once } = block;
      const known = { by, ...(clientNames && { clientNames }), ...(once && { spends: once.digest }) };
      const data = { ...toSignJob(block, csr, { ...request, ...known }), ...clientOrder?.data };
      const reserve = clientOrder?.reserve;
      const against = limitsAgainst(limits, block, request, csr.digest);
      if (once) await needingRedis(against.refuse); // before anything is done to its token
      const id = await (once
        ? enqueueOnce(once, csr.digest, data, signQueue, reserve)
        : signQueue.enqueue(data, reserve, against));
      const told = trail.write(toAdmitted(data, id, clock.now()));
      told.catch(() => {}); // who answers hears of it
      return {
        id,
        async answers(chain) {
          await told;
          if (chain === undefined && !clientOrder) await signQueue.promise(id, data);
        },
      };
    },
    async result(jobId, signal) {
      const result = await signQueue.result(jobId, signal);
      if (result?.outcome === 'failed') throw fromSignFailure(result.error);
      if (result && blockedKeys.size > 0) refuseBlocked(blockedKeys, readCertificate(result.chain));
      return result && toIssued(result);
    },
    find: signQueue.find,
    async progress(jobId, block, isHeard = false) {
      const standing = await standings.read(jobId, block, isHeard);
      return standing && toProgress(standing);
    },
    listen: standings.listen,
    namesOf: standings.namesOf,
    end: signQueue.result,
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

/** A block's clients as limits know them. */
function ordererOf(
  { name: block, verifications, challenges }: AuthBlock,
  identifiers: Identifier[],
): Orderer {
  const proofs = challenges.map((challengeType, at) => ({ name: verifications[at] ?? '', challengeType }));
  return { block, proof: proofOf(identifiers, proofs) };
}

/** Nearly always nothing is there, which is found out in the round trip that an order makes anyway. */
function limitsAgainst(limits: AllLimits, block: AuthBlock, ordered: Ordered, csr: string): Against {
  const { identifiers, publicKey } = ordered;
  const orderer = ordererOf(block, identifiers);
  const keys = block.accounts.flatMap(
    ({ account }) => limits.get(account)?.keysAgainst(identifiers, orderer, csr, publicKey) ?? [],
  );
  return {
    keys,
    async refuse() {
      const against = { identifiers, orderer, csr, publicKey };
      const limit = await limitAtEveryAccount(limits, block.accounts, against);
      if (limit) throw limit;
    },
  };
}
