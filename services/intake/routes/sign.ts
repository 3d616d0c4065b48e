import type { Context } from 'koa';
import type { Admission, AuthBlock } from '../../../shared/admission/admit.ts';
import { describeError } from '../../../shared/base/errors.ts';
import type { Log } from '../../../shared/base/log.ts';
import { needingRedis } from '../../../shared/base/redis.ts';
import type { Limits } from '../../../shared/limits/limits.ts';
import { type CsrText, parseCsr, readCsr } from '../../../shared/pki/csr.ts';
import { toSignJob } from '../../../shared/queue/sign-job-data.ts';
import type { SignQueue } from '../../../shared/queue/sign-queue.ts';
import type { Storage, StoredCertificate } from '../../../shared/storage/storage.ts';
import { toAdmissionRequest } from '../admission-request.ts';
import { answerChain, answerResult, stillWorking, type Waiting } from '../answer-result.ts';
import { readBody } from '../middleware/body-limit.ts';
import type { NoteFetch } from '../note-fetch.ts';

export type SignRouteParts = Waiting & {
  admission: Admission;
  signQueue: SignQueue;
  storages: Map<string, Storage>;
  limits: Limits;
  noteFetch: NoteFetch;
  account: string;
  maxSize: number;
  isTrustedProxy: (address: string) => boolean;
  log: Log;
};

/** `POST /sign`: a CSR comes in, a certificate goes out. The order of the checks is a contract (README, status codes). */
export function signRoute(parts: SignRouteParts) {
  const { admission, limits, signQueue } = parts;

  return async (ctx: Context): Promise<void> => {
    const request = toAdmissionRequest(ctx, parts.isTrustedProxy);
    const possible = admission.possible(request);
    const body = await readBody(ctx, parts.maxSize);
    const blocks = admission.verified(possible, request, body);
    const csr = readCsr(body);

    const found = await findStored(parts, blocks, csr);
    if (found) {
      const { stored, block } = found;
      ctx.state.names = stored.leaf.identifiers.map(({ value }) => value);
      parts.noteFetch(block, csr);
      return answerChain(ctx, stored.chain);
    }

    const { identifiers } = await parseCsr(csr.der);
    ctx.state.names = identifiers.map(({ value }) => value);
    const block = admission.admit(blocks, identifiers);

    const standing = await needingRedis(() =>
      limits.standingAgainst({ account: parts.account, identifiers }),
    );
    if (standing && standing.code !== 'unavailable') throw standing;

    const { account, wait } = parts;
    const waits = { patience: wait * 1000, requestId: ctx.state.requestId };
    const job = toSignJob(block, { csr, identifiers, account, ...waits });
    const jobId = await signQueue.enqueue(job);
    const answered = await answerResult(ctx, jobId, parts);
    if (answered !== 'finished') await signQueue.promise(jobId, job);
    if (answered === 'unanswered') throw stillWorking(parts);
  };
}

/** A stored certificate is as good as a new one only to the block that would have ordered it, and only for its names. */
async function findStored(
  { admission, storages, log }: SignRouteParts,
  blocks: AuthBlock[],
  csr: CsrText,
): Promise<{ stored: StoredCertificate; block: AuthBlock } | undefined> {
  for (const name of new Set(blocks.map(block => block.storage))) {
    const stored = await storages
      .get(name)
      ?.get(csr)
      .catch(error => {
        log.warn({ storage: name, reason: describeError(error) }, 'the storage cannot be asked');
      });
    const block = stored && admission.find(blocks, stored.leaf.identifiers);
    if (stored && block?.storage === name) return { stored, block };
  }
  return undefined;
}
