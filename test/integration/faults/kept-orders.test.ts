import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { callQuarryWith } from '../../support/call-quarry.ts';
import { assertChain } from '../../support/chain.ts';
import { makeCsr } from '../../support/csr.ts';
import type { RuleOptions } from '../../support/fault-proxy.ts';
import { startFleet } from '../../support/fleet.ts';
import { about, presented, reached, sent } from './orders.ts';

/** The CA says that it is still at it, for hours, as one whose orders a person approves. */
const approving: RuleOptions['do'] = {
  rewrite({ body, headers }) {
    const { certificate: _, ...order } = JSON.parse(body) as Record<string, unknown>;
    return {
      body: JSON.stringify({ ...order, status: 'processing' }),
      headers: { ...headers, 'retry-after': '14400' },
    };
  },
};

suite('an order that its CA does not finish', { concurrency: true }, () => {
  test('while a person approves it is kept, with the time to come, and the next post gets its certificate', async () => {
    await using fleet = await startFleet();
    const name = 'approved.example';
    let finalized = false;
    const rule = fleet.ca.rule({
      kind: ['finalize', 'order'],
      when: request => {
        finalized ||= request.kind === 'finalize';
        return finalized && about(name)(request);
      },
      do: approving,
    });
    const { csrPem, keyPem } = await makeCsr({ names: [name] });
    for (let posts = 0; posts < 3; posts++) {
      const { status, headers, body } = await fleet.post(csrPem);
      assert.deepEqual([status, /still working on the order/.test(body)], [503, true], body);
      const seconds = Number(headers['retry-after']);
      assert.ok(seconds > 14_000 && seconds <= 14_400, `${seconds}`);
    }
    assert.deepEqual(await presented(fleet), []);
    rule.remove();
    const { status, body } = await fleet.post(csrPem);
    assert.equal(status, 200, body);
    assertChain(body, { names: [name], keyPem, rootPem: await fleet.pebble.rootPem() });
    const of = (kind: 'newOrder' | 'finalize' | 'challenge') => reached(sent(fleet.ca, name, kind)).length;
    assert.deepEqual([of('newOrder'), of('finalize'), of('challenge')], [1, 1, 1]);
  });

  test('as it refuses the CSR costs one order, until an operator lifts that', async () => {
    await using fleet = await startFleet();
    const name = 'refused.example';
    const problem = { type: 'badCSR', detail: 'the CSR has an extension that is not allowed' };
    const rule = fleet.ca.rule({
      kind: 'finalize',
      when: about(name),
      do: { answer: { status: 400, problem } },
    });
    const { csrPem } = await makeCsr({ names: [name] });
    for (let posts = 0; posts < 10; posts++) {
      const { status, headers, body } = await fleet.post(csrPem);
      assert.deepEqual([status, headers['retry-after']], [415, undefined]);
      assert.match(body, /^the CA refused: the CSR has an extension that is not allowed\n$/);
    }
    assert.deepEqual([sent(fleet.ca, name, 'newOrder').length, rule.hits], [1, 1]);

    const config = await fleet.ini();
    const listed = await callQuarryWith(config, ['limits', 'main.ini']);
    const [, key = ''] = /(csr\/[0-9a-f]{16}@\S+)/.exec(listed.stdout) ?? [];
    assert.match(listed.stdout, /not allowed/);
    rule.remove();
    await callQuarryWith(config, ['limits', 'clear', key, 'main.ini']);
    assert.equal((await fleet.post(csrPem)).status, 200);
  });
});
