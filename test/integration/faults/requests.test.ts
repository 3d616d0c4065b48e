import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { FaultProxy, ProxiedRequest } from '../../support/fault-proxy.ts';
import { startFleet } from '../../support/fleet.ts';
import { startQuarry } from '../../support/quarry.ts';
import { about, assertIssued, post, postEach, sent } from './orders.ts';
import { startRelay } from './relay.ts';

/** The polls that were answered with nothing new: how many there are is the CA's to say. */
function watchVainPolls(ca: FaultProxy): Set<ProxiedRequest> {
  const vain = new Set<ProxiedRequest>();
  ca.rule({
    kind: 'order',
    do: {
      rewrite({ body }, request) {
        if (/^(pending|processing)$/.test((JSON.parse(body) as { status: string }).status)) vain.add(request);
        return undefined;
      },
    },
  });
  return vain;
}

const kindsOf = (requests: ProxiedRequest[], vain: Set<ProxiedRequest>) =>
  requests.filter(request => !vain.has(request)).map(({ kind }) => kind);

const repeat = <T>(count: number, ...values: T[]) => Array.from({ length: count }, () => values).flat();

suite('the requests to the CA', { concurrency: true }, () => {
  test('are seven for an order, and two more for each further name', async () => {
    await using fleet = await startFleet();
    await assertIssued(fleet, [await post(fleet, ['first.example'])]);
    const vain = watchVainPolls(fleet.ca);
    for (const names of [['one.example'], ['a.three.example', 'b.three.example', 'c.three.example']]) {
      fleet.ca.reset();
      await assertIssued(fleet, [await post(fleet, names)]);
      const proofs = [...repeat(names.length, 'authorization'), ...repeat(names.length, 'challenge')];
      // Neither a nonce nor the directory was asked for again.
      assert.deepEqual(kindsOf(fleet.ca.requests(), vain), [
        ...['newOrder', ...proofs],
        ...['order', 'finalize', 'order', 'certificate'],
      ]);
    }
  });

  test('are four where all authorizations are valid, and none for a name that is', async () => {
    await using fleet = await startFleet({ pebble: { strict: true, env: { PEBBLE_AUTHZREUSE: '100' } } });
    const [name, other] = ['reused.example', 'new.example'];
    await assertIssued(fleet, [await post(fleet, [name])]);
    const vain = watchVainPolls(fleet.ca);

    fleet.ca.reset();
    await assertIssued(fleet, [await post(fleet, [name])]);
    assert.deepEqual(kindsOf(fleet.ca.requests(), vain), ['newOrder', 'finalize', 'order', 'certificate']);

    fleet.ca.reset();
    await assertIssued(fleet, [await post(fleet, [name, other])]);
    assert.deepEqual(kindsOf(fleet.ca.requests(), vain), [
      ...['newOrder', 'authorization', 'authorization', 'challenge'],
      ...['order', 'finalize', 'order', 'certificate'],
    ]);
  });

  test('of twenty orders take a nonce and a connection for each order in flight, and no more', async () => {
    const inFlight = 4;
    await using fleet = await startFleet({ roles: ['intake', 'responder'] });
    await using relay = await startRelay(Number(new URL(fleet.ca.directoryUrl).port));
    const ini = (await fleet.ini({ worker: `concurrency = ${inFlight}` })).replace(
      fleet.ca.directoryUrl,
      `https://127.0.0.1:${relay.port}/dir`,
    );
    await using worker = await startQuarry('worker', ini);
    const names = Array.from({ length: 20 }, (_, index) => `h${index}.twenty.example`);
    await assertIssued(fleet, await postEach(fleet, names));
    const { newNonce, newOrder, finalize, directory } = fleet.ca.counts();
    assert.deepEqual({ newOrder, finalize, directory }, { newOrder: 20, finalize: 20, directory: 1 });
    assert.ok(newNonce >= 1 && newNonce <= inFlight, `newNonce: ${newNonce}`);
    assert.ok(relay.made >= 1 && relay.made <= inFlight, `connections: ${relay.made}`);
    assert.equal(await worker.stop(), 0);
  });

  test('of a poll come when Retry-After says, in seconds or as a date, else ever more rarely', async () => {
    await using fleet = await startFleet();
    /**
     * Keeps an order pending for three seconds or a little more. Its rule hits where it is polled in vain.
     */
    const keepPending = (name: string, toRetryAfter: (until: number) => string | undefined) => {
      let until: number | undefined;
      return fleet.ca.rule({
        kind: 'order',
        when: about(name),
        do: {
          rewrite({ headers: { 'retry-after': _, ...headers }, body }) {
            until ??=
              toRetryAfter === inSeconds ? Date.now() + 3_000 : Math.ceil(Date.now() / 1000 + 3) * 1000;
            if (Date.now() >= until - 5) return undefined;
            const retryAfter = toRetryAfter(until);
            return {
              headers: retryAfter === undefined ? headers : { ...headers, 'retry-after': retryAfter },
              body: JSON.stringify({ ...JSON.parse(body), status: 'pending' }),
            };
          },
        },
      });
    };
    const inSeconds = () => '3';
    const seconds = keepPending('seconds.example', inSeconds);
    const date = keepPending('date.example', until => new Date(until).toUTCString());
    const silent = keepPending('silent.example', () => undefined);
    await assertIssued(fleet, await postEach(fleet, ['seconds.example', 'date.example', 'silent.example']));
    assert.deepEqual([seconds.hits, date.hits], [1, 1], 'nobody came before the time');
    // At first, and then 250, 750, 1750 and 3750 ms later; where all is slow there is no time for so many.
    assert.ok(silent.hits >= 1 && silent.hits <= 5, `${silent.hits} polls in vain`);
  });

  test('lead to certificates with a strict CA that binds accounts, dawdles, refuses half of all nonces and has a long chain', async () => {
    const macKey = Buffer.from('a mac key of thirty-two bytes ...').toString('base64url');
    await using fleet = await startFleet({
      roles: ['intake', 'responder'],
      pebble: {
        strict: true,
        config: { externalAccountBindingRequired: true, externalAccountMACKeys: { 'kid-1': macKey } },
        env: {
          PEBBLE_WFE_NONCEREJECT: '50',
          PEBBLE_VA_NOSLEEP: '0',
          PEBBLE_VA_SLEEPTIME: '5',
          PEBBLE_CHAIN_LENGTH: '3',
        },
      },
    });
    const terms = 'accept-terms-of-service = yes';
    await fleet.start('worker', {
      account: `dir = ${fleet.accountDir}\n${terms}\neab-kid = kid-1\neab-hmac-key = ${macKey}`,
    });
    const vain = watchVainPolls(fleet.ca);
    const posts = await postEach(
      fleet,
      Array.from({ length: 5 }, (_, index) => `h${index}.difficult.example`),
    );
    posts.push(await post(fleet, ['x.difficult.example', 'y.difficult.example', 'z.difficult.example']));
    await assertIssued(fleet, posts);
    for (const { answer } of posts) assert.equal((await answer).body.match(/BEGIN CERTIFICATE/g)?.length, 4);

    const refused = fleet.ca.requests().filter(({ status }) => status === 400);
    const { newNonce, newOrder } = fleet.ca.counts();
    assert.ok(vain.size > 0, 'the CA dawdled');
    assert.ok(refused.length > 10, `only ${refused.length} nonces were refused`);
    assert.ok(newNonce <= posts.length + 2, `${newNonce} nonces were fetched, ${refused.length} refused`);
    const answered = sent(fleet.ca, 'x.difficult.example', 'newOrder').filter(({ status }) => status === 201);
    assert.equal(answered.length, 1);
    assert.ok(newOrder >= posts.length);
  });
});
