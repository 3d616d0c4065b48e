import type { Context } from 'koa';
import { LRUCache } from 'lru-cache';
import type { Admission, AdmittingBlock } from '../../../shared/admission/admit.ts';
import { forwardedAddress } from '../../../shared/admission/client-address.ts';
import type { ShownCertificate } from '../../../shared/admission/client-ca.ts';
import { parseHmacHeader } from '../../../shared/admission/hmac.ts';
import type { AdmissionRequest } from '../../../shared/admission/methods.ts';
import { dropUsed } from '../../../shared/admission/token-method.ts';
import { readBearer } from '../../../shared/admission/token-record.ts';
import { blocksForUnusual } from '../../../shared/admission/unusual-keys.ts';
import type { Clock } from '../../../shared/base/basics.ts';
import { plainAddress } from '../../../shared/base/identifier.ts';
import type { Asker } from '../../../shared/issue/hand-out.ts';
import type { IssuedCertificate, Issuing } from '../../../shared/issue/request-certificate.ts';
import { type CsrText, parseCsr, readCsr } from '../../../shared/pki/csr.ts';
import { answerAccepted, lineOf, NO_PREFERENCE, parsePrefer, stillWorking } from './come-back.ts';

// What the routes read of a request, how long they hold its client, and how they answer.

/** How it is known who sends a request. */
export type Clients = {
  isTrustedProxy: (address: string) => boolean;
  /** Only where clients are asked for certificates. */
  certificateOf?: (ctx: Context) => ShownCertificate | undefined;
};

/** What admission asks of a request; the log gets the client's address too. */
export function toAdmissionRequest(
  ctx: Context,
  { isTrustedProxy, certificateOf }: Clients,
): AdmissionRequest {
  const clientIp = noteClient(ctx, isTrustedProxy);
  const { authentication, authorization } = ctx.req.headers as Record<string, string | undefined>;
  const more = authorization === undefined ? undefined : ctx.req.headersDistinct.authorization;
  const claim = parseHmacHeader({ authentication, authorization: more });
  const certificate = certificateOf?.(ctx);
  const token = more && readBearer(more);
  return {
    ...{ clientIp, method: ctx.method, target: toOriginForm(ctx.req.url ?? ''), claim },
    ...(certificate && { certificate }),
    ...(token && { token }),
  };
}

/**
 * Finds the address of a request's client, and notes it for the log.
 *
 * @throws IssuanceError `denied` where a trusted proxy names none
 */
export function noteClient(ctx: Context, isTrustedProxy: Clients['isTrustedProxy']): string {
  const remote = ctx.req.socket.remoteAddress ?? '';
  const peer = plainAddress(remote) ?? remote;
  ctx.state.client = peer;
  const forwardedFor = ctx.req.headers['x-forwarded-for'] as string | undefined; // Node joins several
  ctx.state.client = forwardedFor ? forwardedAddress(peer, forwardedFor, isTrustedProxy) : peer;
  return ctx.state.client;
}

/** A proxy may send the whole URL as target (RFC 9112 section 3.2.2). */
const toOriginForm = (target: string) =>
  target.startsWith('/') ? target : target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?]*/i, '');

/**
 * Reads the body of a request that says how long it is.
 *
 * @throws an HTTP error: 411 without Content-Length, 413 when it is over `maxSize` bytes, 400 when the client
 *   leaves before it has sent them all
 */
export async function readBody(ctx: Context, maxSize: number, what = 'CSR'): Promise<Buffer> {
  const length = ctx.req.headers['content-length'] ?? '';
  if (!/^\d+$/.test(length))
    ctx.throw(411, 'a Content-Length header is needed: post a file (curl --data-binary @host.csr)');
  if (Number(length) > maxSize) {
    ctx.throw(413, `the ${what} is over ${maxSize} bytes: post it alone`, {
      headers: { Connection: 'close' },
    });
  }
  const chunks: Buffer[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  ctx.req.on('data', (chunk: Buffer) => chunks.push(chunk));
  ctx.req.on('end', resolve).on('error', reject).on('close', reject); // `once` would wrap each
  if (ctx.req.destroyed) reject();
  await promise.catch(() => ctx.throw(400, 'the body ended early'));
  return Buffer.concat(chunks.splice(0)); // what listens here stays for as long as the request
}

/** How long clients are held. */
export type Waiting = {
  clock: Clock;
  /** Seconds, at most. */
  wait: number;
  /** Fires when the intake stops: no client is held any longer then. */
  stopping: AbortSignal;
  /** Milliseconds after which one that takes nothing of what it is told is let go; a minute by default. */
  stalled?: number;
};

const enough = new Error('nobody waits any more');

/**
 * The signal fires when a client has waited long enough, when the intake stops, or when the client goes away:
 * its waiter goes, the job stays.
 */
export function patienceOf(
  ctx: Context,
  { wait, stopping }: Waiting,
  seconds = wait,
): Disposable & { signal: AbortSignal } {
  const patience = new AbortController();
  const giveUp = () => patience.abort(enough);
  const timer = setTimeout(giveUp, seconds * 1000);
  stopping.addEventListener('abort', giveUp);
  ctx.res.once('close', giveUp);
  if (stopping.aborted || ctx.res.closed) giveUp();
  return {
    signal: patience.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      stopping.removeEventListener('abort', giveUp);
      ctx.res.off('close', giveUp);
    },
  };
}

/**
 * Waits for a job's result as long as the client wants and `wait` allows, and answers with it: 200, or the
 * error with which the job failed; 202 to a client that asked for it. Every other client must get a 503, as a
 * plain `wget` must never save anything but a certificate as a success.
 *
 * @returns `unanswered` when the caller has to send that 503
 */
export async function answerResult(
  ctx: Context,
  job: { id: string; block: string },
  issuing: Pick<Issuing, 'result' | 'progress'>,
  waiting: Waiting,
): Promise<'finished' | 'accepted' | 'unanswered'> {
  const header = ctx.get('Prefer');
  const prefer = header ? parsePrefer(header) : NO_PREFERENCE;
  const seconds = Math.min(prefer.wait ?? (prefer.async ? 0 : waiting.wait), waiting.wait);
  ctx.state.job = job.id;
  using patience = patienceOf(ctx, waiting, seconds);
  const certificate = await issuing.result(job.id, patience.signal);
  if (certificate) {
    answerCertificate(ctx, certificate);
    return 'finished';
  }
  if (!prefer.async || waiting.stopping.aborted) return 'unanswered';
  answerAccepted(ctx, job.id, prefer.wait !== undefined, await lineOf(issuing, job));
  return 'accepted';
}

function answerCertificate(ctx: Context, { chain, account }: IssuedCertificate): void {
  ctx.status = 200;
  if (account !== undefined) ctx.res.setHeader('X-Quarry-Account', account);
  ctx.res.setHeader('Content-Type', 'application/pem-certificate-chain'); // `type` would look it up in a list
  ctx.body = chain;
}

/** Bytes of the CSRs that are remembered, and of the bodies that they came in. */
const MOST_REMEMBERED = 4 * 1024 ** 2;
/** In the last bytes of a body its CSR's signature ends. They tell bodies apart, and cost less than all. */
const LAST_BYTES = 128;

/** A body, and the CSR in it where that was read before. */
type Posted = { body: Buffer; csr?: CsrText };

/** Reads a CSR out of a body once, as hosts post the same again and again. */
type CsrReader = {
  /** Gives the very Buffer in which the same body came before: others know things by it, too. */
  recall(body: Buffer): Posted;
  /** Throws `badCsr`. */
  read(posted: Posted): CsrText;
};

/** Node slices small Buffers out of 8 KiB, all of which one would keep that is remembered. */
const ownBytes = (bytes: Buffer) => Buffer.alloc(bytes.length, bytes);

export function openCsrReader(most = MOST_REMEMBERED): CsrReader {
  const known = new LRUCache<string, Required<Posted>>({
    maxSize: most,
    sizeCalculation: ({ csr: { der, pem }, body }) => der.length + pem.length + body.length,
  });
  const endOf = (body: Buffer) => body.toString('latin1', body.length - LAST_BYTES);
  return {
    recall(body) {
      const last = known.get(endOf(body));
      return last?.body.equals(body) ? last : { body };
    },
    read({ body, csr }) {
      if (csr) return csr;
      const read = readCsr(body);
      const kept = { body: ownBytes(body), csr: { ...read, der: ownBytes(read.der) } };
      known.set(endOf(body), kept);
      return kept.csr;
    },
  };
}

/**
 * `POST /sign`: a CSR comes in, a certificate goes out. The order of the checks is a contract (docs/http.md,
 * status codes).
 */
export function signRoute(parts: {
  admission: Admission;
  clients: Clients;
  /** Bytes. */
  maxSize: number;
  issuing: Issuing;
  waiting: Waiting;
}) {
  const { admission, clients, maxSize, issuing, waiting } = parts;
  const patience = waiting.wait * 1000;
  const csrs = openCsrReader();

  async function receive(ctx: Context): Promise<{ blocks: AdmittingBlock[]; csr: CsrText }> {
    const request = toAdmissionRequest(ctx, clients);
    const possible = admission.possible(request);
    const posted = csrs.recall(await readBody(ctx, maxSize));
    const blocks = await admission.verified(possible, request, posted.body);
    ctx.state.blocks = blocks;
    const csr = csrs.read(posted);
    return { blocks: blocks.some(({ once }) => once) ? dropUsed(blocks, csr) : blocks, csr };
  }

  return async (ctx: Context): Promise<void> => {
    const { blocks, csr } = await receive(ctx);
    const { stored, unread } = await issuing.findStored(blocks, csr, ctx.state as Asker);
    if (stored) {
      ctx.state.names = stored.identifiers.map(({ value }) => value);
      return answerCertificate(ctx, stored);
    }

    const { unusual, ...ordered } = parseCsr(csr.der);
    const { identifiers } = ordered;
    ctx.state.names = identifiers.map(({ value }) => value);
    const able = unusual ? blocksForUnusual(admission, blocks, identifiers, unusual) : blocks;
    const block = admission.admit(able, identifiers);
    ctx.state.blocks = [block];
    if (unread?.storage === block.storage) throw unread.fault;

    const { requestId, client } = ctx.state;
    const job = await issuing.order(block, csr, { ...ordered, requestId, client, patience });
    const answered = await answerResult(ctx, { id: job.id, block: block.name }, issuing, waiting);
    await job.answers(answered === 'finished' ? String(ctx.body) : undefined);
    if (answered === 'unanswered') throw stillWorking(waiting);
  };
}
