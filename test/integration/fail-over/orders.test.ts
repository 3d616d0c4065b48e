import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import type { Kind, RuleOptions } from '../../support/fault-proxy.ts';
import { startFleet } from '../../support/fleet.ts';
import { about, post, presented, reached, sent } from '../faults/orders.ts';
import { asked, assertIssuedBy, limited, type Refusal, refuse, untilOpen } from './answers.ts';

// What one CA says of one order, and whether the next CA is asked for it. Each order has a name of its own.

const DAY = 86_400;
const profile = (description: string, days: number) => ({ description, validityPeriod: days * DAY });

const block = (name: string, more: string) => `[auth "${name}"]
all = yes
domain = *.${name}.example
account = default, second
${more}
`;

const fleet = await startFleet({
  pebble: { profiles: { long: profile('90 days', 90), short: profile('6 days', 6) } },
  second: {
    pebble: {
      profiles: { long: profile('90 days', 90), own: profile('30 days', 30) },
      config: { domainBlocklist: [] },
    },
  },
  blocks: [
    block('lacking', 'certificate-profile = default:nonesuch, second:own'),
    block('each', 'certificate-profile = default:short, second:own'),
    block('plain', 'certificate-profile = own'),
    block('nowhere', 'certificate-profile = nonesuch'),
    block('all', '').replace('*.all.example', '*'),
  ].join(''),
});
after(() => fleet[Symbol.asyncDispose]());
const { ca, second } = fleet;
await untilOpen(fleet);

const profileOf = (name: string, { ca }: { ca: typeof fleet.ca }) =>
  reached(sent(ca, name, 'newOrder')).map(one => one.profile);

suite('the next account gets the order', { concurrency: true }, () => {
  const refusals: [name: string, what: string, refusal: Refusal][] = [
    ['caa.example', 'caa', { type: 'caa' }],
    ['rejected.example', 'rejectedIdentifier', { type: 'rejectedIdentifier' }],
    ['unsupported.example', 'unsupportedIdentifier', { type: 'unsupportedIdentifier', status: 400 }],
    ['bad-key.example', 'badPublicKey', { type: 'badPublicKey', status: 400, kind: 'finalize' }],
    ['caa-at-last.example', 'caa, once the names are proved', { type: 'caa', kind: 'finalize' }],
    ['limited.example', 'rateLimited for longer than the client waits', limited('limited.example', 600)],
    [
      'limited-at-last.example',
      'rateLimited for as long, once the names are proved',
      { ...limited('limited-at-last.example', 600), kind: 'finalize' },
    ],
  ];
  for (const [name, what, refusal] of refusals)
    test(`where the first CA says, once: ${what}`, async () => {
      const rule = refuse(ca, name, refusal);
      await assertIssuedBy(fleet, 'second', [await post(fleet, [name])]);
      assert.equal(rule.hits, 1);
      assert.equal(asked(fleet, name).second, 1);
    });

  test('where an authorization ends with caa', async () => {
    const name = 'caa-later.example';
    const rules = endWithCaa(name);
    await assertIssuedBy(fleet, 'second', [await post(fleet, [name])]);
    assert.ok(rules.some(({ hits }) => hits > 0));
    assert.deepEqual(asked(fleet, name), { default: 1, second: 1 });
  });

  test("where the first CA's own block list has the name", async () => {
    await assertIssuedBy(fleet, 'second', [await post(fleet, ['www.blocked-domain.example'])]);
  });

  test('where the first CA has paused the account for the name', async () => {
    const rule = ca.playPaused({ name: 'paused.example' });
    await assertIssuedBy(fleet, 'second', [await post(fleet, ['paused.example'])]);
    await assertIssuedBy(fleet, 'second', [await post(fleet, ['paused.example', 'www.paused.example'])]);
    assert.equal(rule.hits, 1, 'what it said is remembered');
  });

  test('where a limit of the first CA is known to stand, which is not asked again', async () => {
    const rule = ca.playRateLimit({ limit: 'certificatesPerDomain', name: 'busy.example', perSeconds: 600 });
    await assertIssuedBy(fleet, 'second', [await post(fleet, ['a.busy.example'])]);
    await assertIssuedBy(fleet, 'second', [await post(fleet, ['b.busy.example'])]);
    assert.equal(rule.hits, 1);
    assert.deepEqual(asked(fleet, 'b.busy.example'), { default: 0, second: 1 });
  });

  test('where the first CA does not offer the certificate profile that the block wants of it', async () => {
    const name = 'www.lacking.example';
    await assertIssuedBy(fleet, 'second', [await post(fleet, [name])]);
    assert.deepEqual(asked(fleet, name), { default: 0, second: 1 });
    assert.deepEqual(profileOf(name, second), ['own']);
  });

  test('where only the next CA offers the certificate profile that the block wants of any', async () => {
    const name = 'www.plain.example';
    await assertIssuedBy(fleet, 'second', [await post(fleet, [name])]);
    assert.deepEqual(profileOf(name, second), ['own']);
  });

  test('with the certificate profile that the block wants of that account', async () => {
    const [first, other] = ['first.each.example', 'other.each.example'];
    refuse(ca, other, { type: 'caa' });
    await assertIssuedBy(fleet, 'default', [await post(fleet, [first])]);
    await assertIssuedBy(fleet, 'second', [await post(fleet, [other])]);
    assert.deepEqual(profileOf(first, fleet), ['short']);
    assert.deepEqual(profileOf(other, second), ['own']);
  });
});

suite('the first account keeps the order', { concurrency: true }, () => {
  test('without the certificate profile that the block wants of any, where the CA that offers it does not issue', async () => {
    const name = 'left-away.plain.example';
    refuse(second.ca, name, { type: 'caa' });
    await assertIssuedBy(fleet, 'default', [await post(fleet, [name])]);
    assert.deepEqual(profileOf(name, fleet), [undefined]);
  });

  test('where a challenge fails: it would fail elsewhere too', async () => {
    const name = 'fails.example';
    await fleet.misdirect(name);
    const { status } = await (await post(fleet, [name])).answer;
    assert.equal(status, 421);
    assert.deepEqual(asked(fleet, name), { default: 1, second: 0 });
  });

  for (const type of ['badCSR', 'malformed'])
    test(`where the CSR itself is refused, as ${type}`, async () => {
      const name = `${type.toLowerCase()}.example`;
      refuse(ca, name, { type, status: 400, kind: 'finalize' });
      const { status, body } = await (await post(fleet, [name])).answer;
      assert.deepEqual([status, body.includes(`${type}, says the first CA`)], [415, true], body);
      assert.deepEqual(asked(fleet, name), { default: 1, second: 0 });
    });

  test('while the CA works on it, however long', async () => {
    const name = 'processing.example';
    const rule = ca.rule({ kind: ['finalize', 'order'], when: since('finalize', name), do: processing });
    const posted = await post(fleet, [name]);
    await rule.hit(4, 60_000);
    rule.remove();
    await assertIssuedBy(fleet, 'default', [posted]);
    assert.deepEqual(asked(fleet, name), { default: 1, second: 0 });
  });

  test('where a rate limit is over before the client would leave', async () => {
    const name = 'soon.example';
    const rule = refuse(ca, name, { ...limited(name, 2), times: 1 });
    await assertIssuedBy(fleet, 'default', [await post(fleet, [name])]);
    assert.equal(rule.hits, 1);
    assert.deepEqual(asked(fleet, name), { default: 1, second: 0 });
  });

  test('where a single request fails', async () => {
    const name = 'once.example';
    refuse(ca, name, { type: 'serverInternal', status: 500, times: 1 });
    await assertIssuedBy(fleet, 'default', [await post(fleet, [name])]);
    assert.deepEqual(asked(fleet, name), { default: 1, second: 0 });
  });
});

test('an order that is left has the responses to its challenges withdrawn before the next CA is asked', async () => {
  const name = 'left.example';
  const poll = ca.rule({ kind: 'order', when: about(name), times: 1, do: { hold: 'before' } });
  refuse(ca, name, { ...limited(name, 600), kind: 'order' });
  const next = second.ca.rule({ kind: 'newOrder', when: about(name), do: { hold: 'before' } });
  const posted = await post(fleet, [name]);
  await poll.hit();
  assert.equal((await presented(fleet)).length, 1);
  poll.remove();
  await next.hit();
  assert.deepEqual(await presented(fleet), []);
  next.remove();
  await assertIssuedBy(fleet, 'second', [posted]);
  assert.deepEqual(asked(fleet, name), { default: 1, second: 1 });
});

test('a certificate profile that no CA offers is an operator’s matter', async () => {
  const name = 'www.nowhere.example';
  const { status, body } = await (await post(fleet, [name])).answer;
  assert.equal(status, 500);
  assert.match(body, /nonesuch/);
  assert.deepEqual(asked(fleet, name), { default: 0, second: 0 });
});

test('a name that all CAs refuse is refused, with what one of them said', async () => {
  const name = 'nowhere.example';
  refuse(ca, name, { type: 'caa' });
  refuse(second.ca, name, { type: 'rejectedIdentifier', detail: 'not here either' });
  const { status, body } = await (await post(fleet, [name])).answer;
  assert.equal(status, 403);
  assert.match(body, /caa, says the first CA|not here either/);
  assert.equal(sent(second.ca, name, 'newOrder').length, 1);
  assert.deepEqual(await presented(fleet), []);
});

/** What is still to come of an order, once the CA has got a request of this kind for it. */
const since =
  (kind: Kind, name: string): NonNullable<RuleOptions['when']> =>
  request =>
    about(name)(request) && sent(ca, name, kind).length > 0;

type Body = Record<string, unknown>;

/** The order fails as the CA sees a CAA record that came in between. */
function endWithCaa(name: string) {
  const error = { type: 'urn:ietf:params:acme:error:caa', detail: 'CAA record prevents issuance' };
  const end = (kind: Kind, change: (body: Body) => Body) =>
    ca.rule({
      kind,
      when: since('challenge', name),
      do: { rewrite: ({ body }) => ({ body: JSON.stringify(change(JSON.parse(body))) }) },
    });
  return [
    end('order', order => ({ ...order, status: 'invalid' })),
    end('authorization', authorization => {
      const challenges = authorization.challenges as Body[];
      const failed = challenges.map(one =>
        one.type === 'http-01' ? { ...one, status: 'invalid', error } : one,
      );
      return { ...authorization, status: 'invalid', challenges: failed };
    }),
  ];
}

/** The CA has what it needs, but says that it is still at it. */
const processing: RuleOptions['do'] = {
  rewrite({ body }) {
    const { certificate: _, ...order } = JSON.parse(body) as Body;
    return { body: JSON.stringify({ ...order, status: 'processing' }) };
  },
};
