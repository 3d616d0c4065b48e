import assert from 'node:assert/strict';
import { after, afterEach, suite, test } from 'node:test';
import type { AnswerSpec, Kind, RuleOptions } from '../../support/fault-proxy.ts';
import { startFleet } from '../../support/fleet.ts';
import { about, assertIssued, post, presented, reached, sent } from './orders.ts';

// What real CAs answer, played over Pebble; shared/order/answers.md has the whole table.

const fleet = await startFleet({
  roles: ['intake', 'responder'],
  pebble: { env: { PEBBLE_ALTERNATE_ROOTS: '2' } },
  blocks: '[auth "all"]\nall = yes\ndomain = *.example\npreferred-chain = An issuer that nobody has\n',
});
after(() => fleet[Symbol.asyncDispose]());
afterEach(() => fleet.letGo());
const headOnly = fleet.ca.rule({
  kind: 'newNonce',
  when: ({ method }) => method === 'GET',
  do: { answer: { status: 405, nonce: false } },
});
const worker = await fleet.start('worker');
const byGet = headOnly.hits;

const missing: AnswerSpec = { status: 404, problem: { type: 'malformed', detail: 'no such thing here' } };
const page: AnswerSpec = {
  status: 200,
  headers: { 'content-type': 'text/html' },
  body: '<html><title>Down for maintenance</title></html>',
};

/** An order and a certificate each, however often their answers went wrong. */
async function assertIssuedOnce(name: string): Promise<void> {
  await assertIssued(fleet, [await post(fleet, [name])]);
  const got = (kind: Kind) => reached(sent(fleet.ca, name, kind)).length;
  assert.deepEqual({ newOrder: got('newOrder'), finalize: got('finalize') }, { newOrder: 1, finalize: 1 });
}

type Answered = Record<string, unknown>;

const short = (url: unknown) => (typeof url === 'string' ? url.replace(/^https:\/\/[^/]+/, '') : undefined);

const terseOrder = ({ status, authorizations, finalize, certificate, ...order }: Answered): Answered => ({
  ...order,
  status,
  authorizations: status === 'pending' ? (authorizations as string[]).map(short) : null,
  finalize: status === 'pending' ? undefined : short(finalize),
  certificate: short(certificate),
});

const terseAuthorization = ({ challenges, ...authorization }: Answered): Answered => ({
  ...authorization,
  challenges: [
    { type: 'device-attest-01' },
    ...(challenges as Answered[]).map(one => ({ ...one, url: short(one.url) })),
  ],
});

/** A CA that names its URLs without its own, and leaves out of an order what its state does not need. */
const terse: RuleOptions['do'] = {
  rewrite({ headers, body }, { kind }) {
    const answer = (kind === 'authorization' ? terseAuthorization : terseOrder)(JSON.parse(body));
    const location = short(headers.location);
    return { headers: { ...headers, ...(location && { location }) }, body: JSON.stringify(answer) };
  },
};

suite('a CA', () => {
  test('that knows newNonce by HEAD alone gets an account and orders', async () => {
    assert.ok(byGet >= 1);
    await assertIssuedOnce('head.example');
  });

  test('whose replicas lag is asked again at the same URL, whatever it was asked for', async () => {
    const name = 'lag.example';
    const kinds: Kind[] = ['authorization', 'challenge', 'order', 'finalize', 'certificate'];
    const rules = kinds.map(kind =>
      fleet.ca.rule({ kind, when: about(name), times: 1, do: { answer: missing } }),
    );
    await assertIssuedOnce(name);
    assert.deepEqual(
      rules.map(({ hits }) => hits),
      kinds.map(() => 1),
    );
  });

  test('whose alternate chains cannot be read costs one certificate, which is served', async () => {
    for (const [name, answer] of [
      ['missing.example', missing],
      ['failing.example', { status: 500, problem: { type: 'serverInternal' } }],
      ['page.example', page],
    ] as const) {
      const rule = fleet.ca.rule({
        kind: 'certificate',
        when: ({ path }) => path.includes('/alternate/'),
        do: { answer },
      });
      await assertIssuedOnce(name);
      assert.ok(rule.hits >= 2, `${rule.hits} alternates`);
      rule.remove();
    }
    const warned = worker.log().filter(({ msg }) => /alternate chain .* passed over/.test(`${msg}`));
    assert.ok(warned.length >= 6, `${warned.length} warnings`);
  });

  test('that sends a page for the certificate is asked for the same certificate again', async () => {
    const name = 'maintenance.example';
    const rule = fleet.ca.rule({ kind: 'certificate', when: about(name), times: 2, do: { answer: page } });
    await assertIssuedOnce(name);
    assert.equal(rule.hits, 2);
  });

  test('that names relative URLs, leaves out what is of no use and offers challenges without a token issues', async () => {
    const name = 'terse.example';
    const rule = fleet.ca.rule({
      kind: ['newOrder', 'order', 'finalize', 'authorization'],
      when: about(name),
      do: terse,
    });
    await assertIssuedOnce(name);
    assert.ok(rule.hits >= 3);
  });

  test("that answers a challenge's request by what its validation has found fails the challenge: 421", async () => {
    const name = 'judged.example';
    const detail = 'no such name in the DNS';
    fleet.ca.rule({
      kind: 'challenge',
      when: about(name),
      do: { answer: { status: 400, problem: { type: 'dns', detail } } },
    });
    const { status, body } = await (await post(fleet, [name])).answer;
    assert.deepEqual([status, body.trim()], [421, `${name}: ${detail}`]);
    assert.deepEqual(await presented(fleet), []);
  });
});
