import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { after, afterEach, beforeEach, suite, test } from 'node:test';
import { assertChain } from '../support/chain.ts';
import { type CsrOptions, makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';

const day = 86_400;

const fleet = await startFleet({
  roles: [],
  pebble: {
    profiles: {
      classic: { description: '90 days', validityPeriod: 90 * day },
      shortlived: { description: '6 days', validityPeriod: 6 * day },
    },
  },
});
after(() => fleet[Symbol.asyncDispose]());

const blocks = `
[verification "dns"]
type = dns01-challtestsrv
set-txt_url = ${fleet.pebble.challtestsrvUrl}/set-txt

[auth "both"]
all = yes
domain = both.example
domain = *.both.example
address = 127.0.0.0/8
address = ::1
verification = dns, http
certificate-profile = classic

[auth "http"]
all = yes
domain = http.example
domain = *.http.example
address = 127.0.0.2
verification = http

[auth "dns"]
all = yes
domain = dns.example
domain = *.dns.example
address = 127.9.0.0/16
verification = dns

[auth "addresses"]
all = yes
address = 127.0.0.1
address = 192.0.2.0/24
address = ::1
verification = http
certificate-profile = shortlived
`;
await Promise.all((['intake', 'worker', 'responder'] as const).map(role => fleet.start(role, { blocks })));

/** Pebble asks an address itself where it asks: at ::1 too. */
const loopback6 = createServer(socket => {
  const onward = connect(fleet.front.port, '127.0.0.1');
  for (const one of [socket, onward]) one.on('error', () => {});
  socket.pipe(onward).pipe(socket);
});
loopback6.listen(fleet.front.port, '::1');
await once(loopback6, 'listening');
after(() => loopback6.close());

beforeEach(() => fleet.ca.reset());
afterEach(() => fleet.letGo());

async function sign(options: CsrOptions) {
  const { csrPem, keyPem } = await makeCsr(options);
  return { ...(await fleet.post(csrPem)), keyPem, names: [...options.names, ...(options.ips ?? [])] };
}

async function assertIssued({ status, body, keyPem, names }: Awaited<ReturnType<typeof sign>>) {
  assert.equal(status, 200, body);
  const own = names.map(name => (name === '::1' ? '0:0:0:0:0:0:0:1' : name));
  return assertChain(body, { names: own, keyPem, rootPem: await fleet.pebble.rootPem() });
}

/** The CA offers only challenges of these types from now on. */
function offerOnly(...types: string[]) {
  fleet.ca.rule({
    kind: 'authorization',
    do: {
      rewrite({ body }) {
        const authorization = JSON.parse(body) as { challenges: { type: string }[] };
        const challenges = authorization.challenges.filter(({ type }) => types.includes(type));
        return { body: JSON.stringify({ ...authorization, challenges }) };
      },
    },
  });
}

/** How many challenges the CA was told of, and how often it looked over HTTP. */
const told = () =>
  fleet.ca.requests().filter(({ kind, postAsGet }) => kind === 'challenge' && !postAsGet).length;
const looks = () => fleet.front.asked.length;

suite('an auth block with several verifications', () => {
  test('proves by the first that fits what the CA offers, and leaves the second alone', async () => {
    const before = looks();
    await assertIssued(await sign({ names: ['first.both.example'] }));
    assert.equal(looks(), before);
    assert.equal(told(), 1);
  });

  test('proves a wildcard and its base name in one certificate, by two records of one name', async () => {
    const before = looks();
    await assertIssued(await sign({ names: ['both.example', '*.both.example'] }));
    assert.equal(looks(), before);
    assert.equal(told(), 2);
  });

  test('falls through to the next where the CA does not offer what the first answers', async () => {
    offerOnly('http-01', 'tls-alpn-01');
    const before = looks();
    await assertIssued(await sign({ names: ['through.both.example'] }));
    assert.ok(looks() > before);
  });

  test('chooses for each name of a CSR: a wildcard and a name by the DNS, an address over HTTP', async () => {
    const before = looks();
    await assertIssued(
      await sign({ names: ['*.mixed.both.example', 'mixed.both.example'], ips: ['127.0.0.1'] }),
    );
    assert.ok(looks() > before);
    assert.equal(told(), 3);
  });

  test('says what the CA offers and what there is, where nothing fits', async () => {
    offerOnly('tls-alpn-01');
    const { status, body } = await sign({ names: ['nothing.both.example'] });
    assert.equal(status, 500);
    assert.equal(
      body,
      'for nothing.both.example the CA offers tls-alpn-01, but verification "dns" answers dns-01, verification "http" answers http-01\n',
    );
  });
});

suite('names that no verification of a block can prove', () => {
  for (const [what, options, line] of [
    [
      'a wildcard over HTTP',
      { names: ['*.http.example'] },
      'not possible for *.http.example: it takes dns-01, and there is only http-01 for it; name a verification of that kind in an [auth] block on the server, or leave the wildcard out\n',
    ],
    [
      'an address by the DNS',
      { names: ['a.dns.example'], ips: ['127.9.0.1'] },
      'not possible for 127.9.0.1: it takes http-01 or tls-alpn-01, and there is only dns-01 for it; name a verification of that kind in an [auth] block on the server\n',
    ],
  ] as const)
    test(`are refused before the CA is asked: ${what}`, async () => {
      const { status, body } = await sign({
        names: [...options.names],
        ips: 'ips' in options ? [...options.ips] : [],
      });
      assert.equal(status, 403);
      assert.equal(body, line);
      assert.equal(fleet.ca.counts().newOrder, 0);
    });
});

suite('addresses (RFC 8738)', () => {
  /** As Let's Encrypt does, the CA makes certificates for addresses in one profile only. */
  const demandShortlived = () =>
    fleet.ca.rule({
      kind: 'newOrder',
      do: {
        answer: ({ payload, profile }) => {
          const identifiers = payload?.identifiers as { type: string }[];
          if (profile === 'shortlived' || !identifiers.some(({ type }) => type === 'ip')) return undefined;
          const detail = `Profile "${profile}" does not permit ip type identifiers`;
          return { status: 400, problem: { type: 'rejectedIdentifier', detail } };
        },
      },
    });

  for (const ips of [['127.0.0.1'], ['::1'], ['127.0.0.1', '::1']])
    test(`are proven over http-01, with the certificate profile that the CA demands: ${ips.join(' and ')}`, async () => {
      demandShortlived();
      await using intake = await fleet.start('intake', {
        blocks: blocks.replace(/\[auth "both"\][^[]*/, ''),
      });
      const { csrPem, keyPem } = await makeCsr({ names: [], ips });
      const answer = await fleet.post(csrPem, { to: intake });
      const leaf = await assertIssued({ ...answer, keyPem, names: ips });
      const days = (leaf.validToDate.getTime() - leaf.validFromDate.getTime()) / day / 1000;
      assert.equal(Math.round(days), 6);
      assert.doesNotMatch(leaf.subject ?? '', /CN=/);
    });

  test('are refused where the block orders another certificate profile, in the words of the CA', async () => {
    demandShortlived();
    const { status, body } = await sign({ names: [], ips: ['127.0.0.3'] });
    assert.equal(status, 403);
    assert.match(body, /Profile "classic" does not permit ip type identifiers/);
  });

  test('are refused where no address line of a block holds them', async () => {
    const { status, body } = await sign({ names: [], ips: ['192.0.3.1'] });
    assert.equal(status, 403);
    assert.equal(
      body,
      'not admitted: 192.0.3.1; add it as an address line to an [auth] block on the server\n',
    );
    assert.equal(fleet.ca.counts().newOrder, 0);
  });
});
