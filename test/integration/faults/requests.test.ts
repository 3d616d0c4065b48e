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

  test('of a poll come when Retry-After says, in seconds or as a date, else ever later from 250 ms on', async () => {
    await using fleet = await startFleet();
    const { ca } = fleet;
    const due = new Map<string, number>();
    /** Keeps the order from being ready for as many polls. */
    const keepPending = (name: string, polls: number, retryAfter: () => string | undefined) =>
      ca.rule({
        kind: 'order',
        when: about(name),
        to: polls,
        do: {
          rewrite({ headers: { 'retry-after': _, ...headers }, body }) {
            const value = retryAfter();
            return {
              headers: value === undefined ? headers : { ...headers, 'retry-after': value },
              body: JSON.stringify({ ...JSON.parse(body), status: 'pending' }),
            };
          },
        },
      });
    keepPending('seconds.example', 1, () => {
      due.set('seconds.example', Date.now() + 3_000);
      return '3';
    });
    keepPending('date.example', 1, () => {
      const at = Math.ceil(Date.now() / 1000) * 1000 + 3_000;
      due.set('date.example', at);
      return new Date(at).toUTCString();
    });
    keepPending('silent.example', 3, () => undefined);
    await assertIssued(fleet, await postEach(fleet, ['seconds.example', 'date.example', 'silent.example']));

    for (const [name, at] of due) {
      const [first, second] = sent(ca, name, 'order');
      const early = at - (second?.at ?? 0);
      assert.ok(first && early < 5, `${name} was polled ${early} ms too early`);
      assert.ok(early > -10_000, `${name} was polled ${-early} ms too late`);
    }
    assert.equal(due.size, 2);
    const times = [...sent(ca, 'silent.example', 'challenge'), ...sent(ca, 'silent.example', 'order')].map(
      ({ at }) => at,
    );
    const gaps = times.slice(1, 5).map((at, index) => at - (times[index] ?? 0));
    for (const [index, least] of [250, 250, 500, 1_000].entries()) {
      assert.ok((gaps[index] ?? 0) >= least - 5, `the gaps are ${gaps.join(', ')} ms`);
    }
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
