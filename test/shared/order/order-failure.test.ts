import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Problem } from '../../../shared/base/errors.ts';
import { orderFailure } from '../../../shared/order/order-failure.ts';
import { scriptCa } from './scripted-ca.ts';

const kind = (name: string) => `urn:ietf:params:acme:error:${name}`;
const dns = (value: string) => ({ type: 'dns', value }) as const;
const notFound = { type: kind('dns'), detail: 'NXDOMAIN' };
const wrong = { type: kind('unauthorized') };

const leadThere =
  ': add A or AAAA records that lead to a web server, which has to serve /.well-known/acme-challenge/, or pass it on to a responder of Quarry';
const servePath =
  ': what answers on port 80 has to serve /.well-known/acme-challenge/, or pass it on to a responder of Quarry';

/** The failure of an order whose challenges failed so. */
async function failureOf(faults: Record<string, Problem>, names: string[], error?: Problem) {
  const ca = scriptCa({ faults });
  await ca.newOrder(names.map(dns));
  for (const name of Object.keys(faults))
    await ca.initiateChallenge(`https://ca.example/challenge-http-01/${name}`);
  await ca.getOrder('');
  const failure = await orderFailure(ca, { ...ca.order, error }, names.map(dns));
  return { code: failure.code, message: failure.message, problem: failure.problem };
}

test("orderFailure() gives one failed challenge with its name and the CA's words", async () => {
  const orders = { type: kind('unauthorized'), detail: 'the order has a failed authorization' };
  assert.deepEqual(await failureOf({ 'b.example': notFound }, ['a.example', 'b.example'], orders), {
    code: 'challengeFailed',
    message: `b.example: NXDOMAIN${leadThere}`,
    problem: { ...notFound, identifier: dns('b.example') },
  });
});

test('orderFailure() puts several failed challenges into one compound problem', async () => {
  const names = ['a.example', 'b.example', 'c.example'];
  assert.deepEqual(await failureOf({ 'a.example': notFound, 'c.example': wrong }, names), {
    code: 'challengeFailed',
    message: `a.example: NXDOMAIN; c.example: ${kind('unauthorized')}${leadThere}${servePath}`,
    problem: {
      type: kind('compound'),
      detail: 'several challenges failed',
      subproblems: [
        { ...notFound, identifier: dns('a.example') },
        { ...wrong, identifier: dns('c.example') },
      ],
    },
  });
});

for (const [error, code, message] of [
  [{ type: kind('caa'), detail: 'CAA forbids' }, 'denied', 'the CA ended the order: CAA forbids'],
  [{ type: kind('badCSR'), detail: 'weak key' }, 'badCsr', 'the CA ended the order: weak key'],
  [undefined, 'denied', 'the CA ended the order: it gave no reason'],
] as const)
  test(`orderFailure() without a failed challenge is ${code} for ${error?.type ?? 'an order without a word'}`, async () => {
    assert.deepEqual(await failureOf({}, ['a.example'], error), { code, message, problem: error });
  });
