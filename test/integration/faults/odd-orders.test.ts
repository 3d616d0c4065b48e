import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import type { FaultProxy, Kind, Rule, RuleOptions } from '../../support/fault-proxy.ts';
import { type Fleet, startFleet } from '../../support/fleet.ts';
import { startShamanGround } from '../../support/shaman-ground.ts';
import { about, assertIssued, post, presented, reached, sent } from './orders.ts';

// Orders in states that Pebble never shows, but other CAs do; shared/order/answers.md has them all.

type Json = Record<string, unknown>;
const error = { type: 'urn:ietf:params:acme:error:dns', detail: 'no TXT record found' };

/** Changes the objects that the CA sends. */
const changing = (change: (object: Json) => Json | undefined): RuleOptions['do'] => ({
  rewrite({ body }) {
    const changed = change(JSON.parse(body) as Json);
    return changed && { body: JSON.stringify(changed) };
  },
});

/** Changes the challenge that a responder answers; Pebble has the others before it or behind it. */
const withChallenge =
  (members: Json) =>
  (authorization: Json): Json => ({
    ...authorization,
    challenges: (authorization.challenges as Json[]).map(challenge =>
      challenge.type === 'http-01' ? { ...challenge, ...members } : challenge,
    ),
  });

/**
 * A CA that looks at a challenge when it is told, and says on the authorization what it found, while the
 * order stays pending: so often, and then it is told nothing any more.
 */
function playStuck(ca: FaultProxy, name: string, times: number, found: Json): Rule {
  const told = ca.rule({
    kind: 'challenge',
    when: request => about(name)(request) && !request.postAsGet,
    times,
    do: { answer: { status: 200, body: { type: 'http-01', url: 'https://127.0.0.1/', status: 'pending' } } },
  });
  const before = new Set<string>();
  ca.rule({
    kind: 'authorization',
    when: request => {
      if (!about(name)(request)) return false;
      if (told.hits === 0) before.add(request.path); // another order has others
      return told.hits > 0 && before.has(request.path) && sent(ca, name, 'challenge').length <= times;
    },
    do: changing(withChallenge(found)),
  });
  return told;
}

let fleet: Fleet;
before(async () => {
  fleet = await startFleet();
});
after(() => fleet[Symbol.asyncDispose]());

const gotBy = (name: string, kind: Kind) => reached(sent(fleet.ca, name, kind)).length;

suite('a CA', { concurrency: true }, () => {
  test('that leaves a challenge pending with an error is told again, with one order', async () => {
    const name = 'mended.example';
    const told = playStuck(fleet.ca, name, 2, { error });
    await assertIssued(fleet, [await post(fleet, [name])]);
    assert.deepEqual([told.hits, gotBy(name, 'challenge'), gotBy(name, 'newOrder')], [2, 1, 1]);
  });

  test('that never finds the proof, and says so on the challenge alone, is a 421 in its words', async () => {
    const name = 'unmended.example';
    const told = playStuck(fleet.ca, name, 9, { error });
    const { status, body } = await (await post(fleet, [name])).answer;
    assert.equal(status, 421);
    assert.match(body, /^unmended\.example: no TXT record found: add A or AAAA records that lead to /);
    assert.equal(told.hits, 4);
  });

  test('that calls a challenge invalid, without a word, while the order stays pending is a 421, and the next post has a new order', async () => {
    const name = 'silent.example';
    playStuck(fleet.ca, name, 1, { status: 'invalid' });
    const first = await post(fleet, [name]);
    const { status, body } = await first.answer;
    assert.equal(status, 421);
    assert.match(body, /^silent\.example: the CA calls the challenge invalid, and gives no reason\n$/);
    const { status: then } = await fleet.post(first.csrPem);
    assert.deepEqual([then, gotBy(name, 'newOrder')], [200, 2]);
  });

  test('that hands out an order with a deactivated authorization is asked for another', async () => {
    const name = 'deactivated.example';
    fleet.ca.rule({
      kind: 'authorization',
      when: about(name),
      times: 1,
      do: changing(authorization => ({ ...authorization, status: 'deactivated' })),
    });
    await assertIssued(fleet, [await post(fleet, [name])]);
    assert.equal(gotBy(name, 'newOrder'), 2);
  });

  test('that ends a finalized order for a fault of its own is asked for another', async () => {
    const name = 'logs-away.example';
    const detail = 'Unable to meet CA SCT embedding requirements';
    fleet.ca.rule({
      kind: 'finalize',
      when: about(name),
      times: 1,
      do: changing(order => ({
        ...order,
        status: 'invalid',
        error: { type: 'urn:ietf:params:acme:error:serverInternal', detail },
      })),
    });
    await assertIssued(fleet, [await post(fleet, [name])]);
    assert.equal(gotBy(name, 'newOrder'), 2);
  });

  test('that names the certificate of a valid order a poll later is asked again', async () => {
    const name = 'later.example';
    fleet.ca.rule({
      kind: 'order',
      when: about(name),
      times: 1,
      do: changing(({ certificate, ...order }) => (certificate === undefined ? undefined : order)),
    });
    await assertIssued(fleet, [await post(fleet, [name])]);
    assert.deepEqual([gotBy(name, 'newOrder'), gotBy(name, 'finalize')], [1, 1]);
  });

  test('that asks for an authorization of another name is told nothing, and no solver hears of that name', async () => {
    const name = 'lied-to.example';
    const value = 'victim.example\n$(touch /tmp/quarry-victim)';
    fleet.ca.rule({
      kind: 'authorization',
      when: about(name),
      do: changing(authorization => ({ ...authorization, identifier: { type: 'dns', value } })),
    });
    const { status, body } = await (await post(fleet, [name])).answer;
    assert.equal(status, 500);
    assert.match(
      body,
      /^the CA asks for an authorization of "victim\.example[^\n]*", which was not ordered\n$/,
    );
    assert.deepEqual([sent(fleet.ca, name, 'challenge'), existsSync('/tmp/quarry-victim')], [[], false]);
    assert.ok((await presented(fleet)).every(key => !key.includes('victim')));
  });
});

test('quarry shaman goes on with the other domains where the order of one does not move', async () => {
  await using ground = await startShamanGround();
  playStuck(ground.ca, 'stuck.example', 99, { error });
  const directory = await ground.directory({
    authenticators: { 'http-01': 'prove-challenge' },
    domains: { 'stuck.example': {}, 'second.example': {} },
  });
  const { code, stdout } = await ground.run(directory);
  assert.equal(code, 1);
  assert.match(stdout, /stuck\.example: no TXT record found/);
  assert.match(await directory.text('second.example.cert.pub.pem'), /BEGIN CERTIFICATE/);
});
