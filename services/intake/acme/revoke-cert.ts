import { createPublicKey, hash, X509Certificate } from 'node:crypto';
import type { RouterContext } from '@koa/router';
import type { Account } from '../../../shared/acme-server/accounts.ts';
import type { Certificates, ClientCertificate } from '../../../shared/acme-server/certificates.ts';
import type { PublicJwk } from '../../../shared/acme-server/jws.ts';
import { AcmeError } from '../../../shared/acme-server/problem.ts';
import type { Admission } from '../../../shared/admission/admit.ts';
import { fromSignFailure, IssuanceError } from '../../../shared/base/errors.ts';
import type { Identifier } from '../../../shared/base/identifier.ts';
import { needingRedis } from '../../../shared/base/redis.ts';
import type { InventoriedCertificate, Inventory } from '../../../shared/inventory/inventory.ts';
import { encodePem } from '../../../shared/pki/certificate.ts';
import {
  parseRevocationReason,
  REASONS_TEXT,
  type RevocationReason,
  readRevocable,
} from '../../../shared/pki/revocation.ts';
import type { RevokeJobData, RevokeQueue } from '../../../shared/queue/revoke-queue.ts';
import { comeBack } from '../routes/come-back.ts';
import { type Clients, patienceOf, type Waiting } from '../routes/sign.ts';
import { nameAccount } from './admit-account.ts';
import { blocksOf } from './admit-order.ts';
import type { ByAccount, ByKey, Payload } from './signed.ts';

/** Seconds; clients wait little longer than half a minute for an answer. */
const LONGEST_WAIT = 25;

/** Who may have a certificate revoked, and whom of the accounts at the CAs to ask first. */
type Revoker = Pick<RevokeJobData, 'block' | 'accounts' | 'by' | 'clientNames' | 'holds'>;

/**
 * `revokeCert` (RFC 8555 section 7.6): for the account that ordered a certificate, for one that could get all
 * of its names today, and for who has its key. The CA revokes it, as by `POST /revoke`.
 */
export function revokeCertRoute(parts: {
  certificates: Pick<Certificates, 'read'>;
  /** What was issued whatever the front door, `POST /sign` too. */
  inventory: Pick<Inventory, 'find'>;
  admission: Admission;
  clients: Clients;
  revokeQueue: Pick<RevokeQueue, 'enqueue' | 'result'>;
  waiting: Waiting;
}) {
  const { certificates, inventory, admission, clients, revokeQueue, waiting } = parts;

  /** That an account may order names which it then has to prove says nothing of who has them. */
  async function admitAccount(
    ctx: RouterContext,
    account: Account,
    identifiers: Identifier[],
  ): Promise<Revoker> {
    const blocks = await blocksOf(ctx, { admission, clients }, account);
    const able = blocks.filter(({ clientProof }) => !clientProof);
    if (admission.find(blocks, identifiers) && !admission.find(able, identifiers))
      throw new AcmeError('unauthorized', NOT_PROVEN);
    const { name, accounts, by, clientNames, once } = admission.holder(able, identifiers);
    if (once)
      throw new AcmeError('unauthorized', 'a one-time token is for getting a certificate, and revokes none');
    return {
      ...{ block: name, accounts: accounts.map(one => one.account), by },
      ...(clientNames && { clientNames }),
    };
  }

  /** What the inventory knows of a certificate is what its CA has signed. */
  async function findIssued(fingerprint: string, serial: string): Promise<InventoriedCertificate> {
    const found = await needingRedis(() => inventory.find(serial));
    const issued = found.find(one => one.fingerprint === fingerprint);
    if (issued) return issued;
    throw new AcmeError('malformed', 'Quarry has not got this certificate', { status: 404 });
  }

  async function admitHolder(
    key: PublicJwk,
    wanted: Wanted,
    known: ClientCertificate | undefined,
  ): Promise<Revoker> {
    const { publicKey, serialNumber } = new X509Certificate(wanted.der);
    if (!publicKey.equals(createPublicKey({ key: { ...key }, format: 'jwk' })))
      throw new AcmeError('unauthorized', 'the request is not signed by the key of the certificate');
    const by = 'the key of the certificate';
    if (known) return { ...toRevoker(known), holds: 'key', by };
    const { block = '', account } = await findIssued(wanted.fingerprint, serialNumber);
    return { block, accounts: account === undefined ? [] : [account], holds: 'key', by };
  }

  async function authorize(
    ctx: RouterContext,
    by: ByAccount | ByKey,
    wanted: Wanted,
    known: ClientCertificate | undefined,
  ): Promise<Revoker> {
    if ('key' in by) return admitHolder(by.key, wanted, known);
    const { account } = by;
    if (known?.account !== account.id) return admitAccount(ctx, account, wanted.identifiers);
    return { ...toRevoker(known), holds: 'order', by: nameAccount(account) };
  }

  return async (ctx: RouterContext, by: ByAccount | ByKey): Promise<void> => {
    const wanted = readWanted(by.payload);
    const { pem, names, notAfter, reason } = wanted;
    ctx.state.names = names;
    const known = await needingRedis(() => certificates.read(wanted.fingerprint));
    const revoker = await authorize(ctx, by, wanted, known);
    if (notAfter <= waiting.clock.now())
      throw new AcmeError('unauthorized', 'the certificate has expired; there is nothing to revoke');
    if (known?.revoked !== undefined) throw alreadyRevoked();
    if ('spend' in by) await by.spend();

    const { requestId, client } = ctx.state;
    const data = { ...revoker, certificate: pem, names, client, requestId, ...(reason && { reason }) };
    const job = await revokeQueue.enqueue(data);
    ctx.state.job = job;
    using patience = patienceOf(ctx, waiting, Math.min(waiting.wait, LONGEST_WAIT));
    const result = await revokeQueue.result(job, patience.signal);
    if (!result) throw comeBack(waiting, 'the certificate is still being revoked', 'ask for it again');
    if (result.outcome === 'failed') throw fromSignFailure(result.error);
    if (result.outcome === 'revoked' && result.already) throw alreadyRevoked();
    ctx.body = null;
    ctx.status = 200;
  };
}

/** RFC 8555 section 7.6 wants valid authorizations for the names: to be admitted is not enough there. */
const NOT_PROVEN =
  'the names are for their clients to prove: only the account that ordered the certificate, or its key, can revoke it';

const alreadyRevoked = () => new AcmeError('alreadyRevoked', 'the certificate is revoked already');

const toRevoker = ({ block, issuedBy }: ClientCertificate) => ({
  block,
  accounts: issuedBy ? [issuedBy.account] : [],
});

type Wanted = ReturnType<typeof readRevocable> & {
  der: Buffer;
  fingerprint: string;
  reason: RevocationReason | undefined;
};

/** @throws AcmeError `malformed`, `badRevocationReason` */
function readWanted(payload: Payload): Wanted {
  const { certificate, reason } = payload ?? {};
  if (typeof certificate !== 'string' || !/^[\w-]+={0,2}$/.test(certificate))
    throw new AcmeError('malformed', 'certificate is not DER in base64url');
  const der = Buffer.from(certificate, 'base64url');
  return { ...readDer(der), der, fingerprint: hash('sha256', der), reason: readReason(reason) };
}

function readDer(der: Buffer) {
  try {
    return readRevocable(encodePem('CERTIFICATE', der));
  } catch (error) {
    if (!(error instanceof IssuanceError) || error.code !== 'badCsr') throw error;
    throw new AcmeError('malformed', error.message, { cause: error });
  }
}

/** RFC 8555 section 7.6: a code of RFC 5280 section 5.3.1, as a number. */
function readReason(code: unknown): RevocationReason | undefined {
  if (code === undefined) return undefined;
  if (typeof code !== 'number') throw new AcmeError('malformed', 'reason is not a number');
  const reason = parseRevocationReason(String(code));
  if (reason) return reason;
  throw new AcmeError('badRevocationReason', `the reason ${code} is not taken; these are: ${REASONS_TEXT}`);
}
