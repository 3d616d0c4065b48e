import type { RouterContext } from '@koa/router';
import type { Account } from '../../../shared/acme-server/accounts.ts';
import { blocksForOrder, isProvenFor } from '../../../shared/acme-server/authorizations.ts';
import type { Certificates, ClientCertificate } from '../../../shared/acme-server/certificates.ts';
import { parseCsrFor, readPayloadCsr } from '../../../shared/acme-server/finalize-csr.ts';
import type { Kept, Order, Orders } from '../../../shared/acme-server/orders.ts';
import { AcmeError } from '../../../shared/acme-server/problem.ts';
import { findReplaced, toReplaces } from '../../../shared/acme-server/replaces.ts';
import { settleOrder, toValid } from '../../../shared/acme-server/settle.ts';
import type { Urls } from '../../../shared/acme-server/urls.ts';
import type { Admission, AdmittingBlock } from '../../../shared/admission/admit.ts';
import { blocksForUnusual } from '../../../shared/admission/unusual-keys.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { needingRedis } from '../../../shared/base/redis.ts';
import type { ClientOrder, Issuing } from '../../../shared/issue/request-certificate.ts';
import { StandingLimitError } from '../../../shared/limits/limits.ts';
import { type CsrText, readCsr } from '../../../shared/pki/csr.ts';
import { failedByQueue } from '../../../shared/queue/sign-records.ts';
import { type Clients, patienceOf, type Waiting } from '../routes/sign.ts';
import { admitNames, blocksOf } from './admit-order.ts';
import { toRateLimited } from './new-order.ts';
import { answerOrder, ownOrder } from './order.ts';
import type { ByAccount } from './signed.ts';

/**
 * Seconds for which a finalize request is held: most orders are done by then, which spares a poll. lego gives
 * up after 30 s without an answer, certbot after 45 s.
 */
const HELD = 25;

/**
 * How long the job may wait for its turn or for a CA that is away, in milliseconds: as long as certbot polls,
 * which is longer than most. A client that has left comes with a new order, and has no use for this one.
 */
const PATIENCE = 90_000;

type Parts = {
  urls: Urls;
  orders: Orders;
  certificates: Pick<Certificates, 'findByRenewalId'>;
  admission: Admission;
  clients: Clients;
  issuing: Pick<Issuing, 'order' | 'end' | 'find'>;
  waiting: Waiting;
};

/** Who sends a request about an order, and that as it was read. */
type Asked = { ctx: RouterContext; account: Account; kept: Kept };

/** finalize (RFC 8555 section 7.4), and the order to poll. Both look after its job. */
export function orderRoutes(parts: Parts) {
  const { urls, orders, certificates, admission, issuing, waiting } = parts;

  const readAgain = async ({ account, kept }: Asked): Promise<Kept> => {
    const { id } = kept.order;
    const read = await needingRedis(() => orders.read(id));
    return ownOrder(orders, id, { account, payload: undefined, text: read?.text });
  };

  /**
   * Binds the order to the job before that is made: an intake that ends in between costs a retry.
   *
   * @returns the order as it is then, at work in that job or in an earlier one for the same CSR
   */
  async function bind(asked: Asked, csr: CsrText, job: string): Promise<Kept> {
    for (let { kept } = asked; ; kept = await readAgain(asked)) {
      const { order } = kept;
      if (order.status === 'processing' && order.csr === csr.pem && order.job) return kept;
      if (order.status !== 'ready') throw new IssuanceError('gone', 'the order is not ready any more');
      const after = { ...order, status: 'processing' as const, csr: csr.pem, job };
      const bound = await orders.replace(kept, after);
      if (bound) return bound;
    }
  }

  /** Judges the order by today's configuration, without rates, as it was judged when it came. */
  async function admitToday(
    { ctx, account, kept }: Asked,
    csr: CsrText,
    unusual: string | undefined,
  ): Promise<AdmittingBlock> {
    const { order } = kept;
    const { identifiers } = order;
    const all = blocksForOrder(await blocksOf(ctx, parts, account, csr), order);
    const proven = all.filter(block => isProvenFor(block, order));
    const isUnproven = !admission.find(proven, identifiers) && admission.find(all, identifiers);
    if (isUnproven) throw new AcmeError('unauthorized', UNPROVEN);
    const able = unusual ? blocksForUnusual(admission, proven, identifiers, unusual) : proven;
    return admitNames(ctx, admission, able, identifiers);
  }

  /** @returns the order, at work */
  async function makeJob(asked: Asked, csr: CsrText): Promise<Kept | undefined> {
    const { ctx, account, kept } = asked;
    const { order } = kept;
    const { unusual, identifiers, publicKey } = parseCsrFor(csr, order.identifiers, account.key);
    const block = await admitToday(asked, csr, unusual);
    const { requestId, client } = ctx.state;
    const request = { identifiers, publicKey, requestId, client, patience: PATIENCE };
    const replaced = await needingRedis(() => findReplaced(certificates, order));
    let bound: Kept | undefined;
    const reserve = async (id: string) => {
      bound = await bind(asked, csr, id);
      return bound.order.job ?? id;
    };
    const own = { data: toJobData(block, order, replaced), reserve };
    const job = await issuing.order(block, csr, request, own);
    await job.answers(undefined);
    return bound;
  }

  /** @returns the order once its job has ended, or as it is when its client has waited long enough */
  async function hold(asked: Asked): Promise<Order> {
    const { ctx, kept } = asked;
    const { order } = kept;
    const { id, job, status } = order;
    if (status !== 'processing' || job === undefined) return order;
    using patience = patienceOf(ctx, waiting, Math.min(HELD, waiting.wait));
    const result = await issuing.end(job, patience.signal);
    if (!result) return order;
    if (result.outcome === 'issued') return toValid(order, result.chain); // Redis has it so by now
    const settled = await needingRedis(() => settleOrder(orders, { id, jobId: job, result }));
    return (settled ?? (await readAgain(asked))).order;
  }

  async function begin(asked: Asked, csr: CsrText): Promise<Kept> {
    try {
      const bound = await makeJob(asked, csr);
      if (bound) return bound;
    } catch (error) {
      const isLate = error instanceof IssuanceError && error.code === 'gone';
      if (!isLate) throw toRefusal(error);
    }
    return readAgain(asked);
  }

  /** An order at work, whose job is made again where Redis has lost it; it ends with one that has failed. */
  async function lookAfter(asked: Asked): Promise<Kept> {
    const { id, status, job: jobId = '', csr = '' } = asked.kept.order;
    if (status !== 'processing') return asked.kept;
    const found = await issuing.find(jobId);
    if (!found) return begin(asked, readCsr(Buffer.from(csr)));
    if (!found.hasFailed) return asked.kept;
    const result = failedByQueue(found.block);
    return (await needingRedis(() => settleOrder(orders, { id, jobId, result }))) ?? readAgain(asked);
  }

  return {
    async finalize(ctx: RouterContext, by: ByAccount): Promise<void> {
      const { account } = by;
      const first = ownOrder(orders, ctx.params.order ?? '', by);
      const csr = readPayloadCsr(by.payload);
      refuseUnready(first.order, csr);
      const asked = { ctx, account, kept: first };
      const kept = await (first.order.status === 'ready' ? begin(asked, csr) : lookAfter(asked));
      refuseUnready(kept.order, csr);
      const order = await hold({ ctx, account, kept });
      answerOrder(ctx, order, urls);
    },

    async order(ctx: RouterContext, by: ByAccount): Promise<void> {
      const { account } = by;
      const first = ownOrder(orders, ctx.params.order ?? '', by);
      const { order } = await lookAfter({ ctx, account, kept: first });
      answerOrder(ctx, order, urls);
    },
  };
}

const UNPROVEN = 'the names are not proven as the configuration wants it by now: make a new order';

/** What was finalized with a CSR is answered to who sends that again, as some clients do. */
function refuseUnready({ status, csr }: Order, sent: CsrText): void {
  if (csr === undefined ? status === 'ready' : csr === sent.pem) return;
  const why = csr === undefined ? `the order is ${status}` : 'the order was finalized with another CSR';
  throw new AcmeError('orderNotReady', why);
}

/** The certificate profile that the client has named is for every account. */
function toJobData(
  block: AdmittingBlock,
  { id, account: clientAccount, profile }: Order,
  replaced: ClientCertificate | undefined,
): ClientOrder['data'] {
  const accounts = block.accounts.map(({ profileIfOffered, ...choice }) =>
    profile === undefined
      ? { ...choice, ...(profileIfOffered && { profileIfOffered }) }
      : { ...choice, certificateProfile: profile },
  );
  const replaces = replaced && toReplaces(replaced);
  return { accounts, storage: '', order: id, clientAccount, ...(replaces && { replaces }) };
}

function toRefusal(error: unknown): unknown {
  if (!(error instanceof StandingLimitError)) return error;
  // A key that is blocked is a fault of the CSR.
  return error.code === 'denied'
    ? new AcmeError('badCSR', error.message, { cause: error })
    : toRateLimited(error);
}
