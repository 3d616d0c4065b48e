import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Ended, Kept, Order } from '../../../shared/acme-server/orders.ts';
import { settleOrder } from '../../../shared/acme-server/settle.ts';
import type { SignFailure } from '../../../shared/base/errors.ts';
import type { SignResult } from '../../../shared/queue/sign-records.ts';
import { makeIssued } from '../pki/openssl-csr.ts';
import { orderRecord } from './order-record.ts';

const atWork = orderRecord({ status: 'processing', csr: 'a CSR', job: 'job-1' });
const { leaf, issuer } = makeIssued({ names: 'DNS:a.example' });
const chain = leaf + issuer;
const issuedBy = { account: 'default', directory: 'https://ca.example.org/directory' };
const issued: SignResult = { outcome: 'issued', block: 'web', chain, issuedBy };
const failed = (error: SignFailure): SignResult => ({ outcome: 'failed', block: 'web', error });

/** An order in memory; `meanwhile` is what others make of it before it can be written. */
function keep(order: Order, meanwhile?: Order) {
  let current: Order | undefined = order;
  let other = meanwhile;
  const ends: Ended[] = [];
  const toKept = (): Kept | undefined => current && { order: current, text: JSON.stringify(current) };
  return {
    ends,
    orders: {
      read: async () => toKept(),
      async end({ text }: Kept, ended: Ended) {
        if (other) [current, other] = [other, undefined];
        if (toKept()?.text !== text) return undefined;
        ends.push(ended);
        current = ended.order;
        return toKept();
      },
    },
  };
}

const settle = (kept: ReturnType<typeof keep>, result: SignResult, jobId = 'job-1') =>
  settleOrder(kept.orders, { id: 'order-1', jobId, result }).then(after => after?.order);

test('a job that was issued a certificate makes its order valid, and the certificate one of its account', async () => {
  const kept = keep(atWork);
  const order = await settle(kept, issued);
  const [{ certificate } = {}] = kept.ends;
  assert.ok(certificate);
  assert.deepEqual(order, { ...atWork, status: 'valid', certificate: certificate.fingerprint });
  assert.match(certificate.fingerprint, /^[0-9a-f]{64}$/);
  assert.match(certificate.renewalId ?? '', /^[\w-]+\.[\w-]+$/);
  const { account, order: of, block, issuedBy: by, chain: kept1 } = certificate;
  assert.deepEqual([account, of, block, by, kept1], ['account-1', 'order-1', 'web', issuedBy, chain]);
  assert.ok(certificate.notBefore < certificate.notAfter);
});

test('an order ends once, and by its own job alone', async () => {
  const kept = keep(atWork);
  await settle(kept, issued);
  await settle(kept, failed({ code: 'denied', detail: 'too late' }));
  assert.deepEqual([kept.ends.length, kept.ends[0]?.order.status], [1, 'valid']);
  const other = keep(atWork);
  assert.deepEqual(await settle(other, issued, 'job-2'), atWork);
  assert.deepEqual(other.ends, []);
});

test('an order that others have changed meanwhile is ended as it is by then, or left where they have ended it', async () => {
  const deactivated = atWork.authorizations.map(one => ({ ...one, status: 'deactivated' as const }));
  const changed = keep(atWork, { ...atWork, authorizations: deactivated });
  const after = await settle(changed, issued);
  assert.deepEqual([after?.status, after?.authorizations[0]?.status], ['valid', 'deactivated']);
  const over: Order = { ...atWork, status: 'invalid' };
  assert.deepEqual(await settle(keep(atWork, over), issued), over);
});

const acme = (kind: string) => `urn:ietf:params:acme:error:${kind}`;

test("a job that failed makes its order invalid, with the CA's problem of each name in our words, and none of its URLs", async () => {
  const identifier = { type: 'dns', value: 'a.example' };
  const problem = {
    type: acme('compound'),
    instance: 'https://ca.example.org/log/7',
    subproblems: [
      { type: acme('dns'), detail: 'NXDOMAIN; see https://ca.example.org/help.', identifier, status: 400 },
    ],
  };
  const detail = 'a.example: NXDOMAIN, see "HTTPS://ca.example.org/authz/1?x=y": none';
  const order = await settle(keep(atWork), failed({ code: 'challengeFailed', detail, problem }));
  assert.deepEqual([order?.status, order?.certificate], ['invalid', undefined]);
  assert.deepEqual(order?.error, {
    ...{ type: acme('incorrectResponse'), status: 403 },
    detail: 'a.example: NXDOMAIN, see "(a page of the CA)": none',
    subproblems: [{ type: acme('dns'), detail: 'NXDOMAIN; see (a page of the CA)', identifier }],
  });
  assert.doesNotMatch(JSON.stringify(order), /https?:/i);
});

test('a job that a bug has ended says nothing of it to the client', async () => {
  const order = await settle(keep(atWork), failed({ code: 'internal', detail: 'x is not a function' }));
  assert.deepEqual(order?.error, { type: acme('serverInternal'), status: 500, detail: 'internal error' });
});
