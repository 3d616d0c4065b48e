import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/basics.ts';
import { obtain } from '../../../shared/library/obtain.ts';
import { generateKeyPem } from '../../../shared/pki/private-key.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { connect } from '../acme/open-connection.ts';
import { type CaScript, scriptCa } from '../order/scripted-ca.ts';

const key = await generateKeyPem('P-256');

function start(script: CaScript = {}) {
  const ca = scriptCa(script);
  const clock = turnedClock(0);
  const account = { client: () => ca, connection: connect('https://ca.example/directory', clock) };
  const get = (signal?: AbortSignal) =>
    obtain(account, { names: ['a.example'], key, solvers: [ca.solver], ...(signal && { signal }) });
  return { ca, clock, get };
}

test('obtain() goes from names to a chain, and leaves nothing presented', async () => {
  const { ca, get } = start();
  assert.deepEqual(await get(), { chain: 'the chain', certificate: 'https://ca.example/cert/1' });
  assert.equal(ca.presented.size, 0);
});

test("obtain() says in the CA's words why there is no certificate, and leaves nothing presented", async () => {
  const type = 'urn:ietf:params:acme:error:dns';
  const { ca, get } = start({ faults: { 'a.example': { type, detail: 'no such name' } } });
  await assert.rejects(get(), /a\.example: no such name/);
  assert.equal(ca.presented.size, 0);
});

test('obtain() sits out a CA that is away for a moment, and one that has lost the order', async () => {
  const { ca, get } = start();
  ca.failNext.set('finalize', new IssuanceError('unavailable', 'away'));
  ca.failNext.set('getAuthorization', new IssuanceError('gone', 'no such order'));
  assert.equal((await get()).chain, 'the chain');
  assert.equal(ca.calls.filter(call => call === 'newOrder').length, 2);
});

test('obtain() that is ended by its signal leaves nothing presented, whatever the CA was told', async () => {
  for (const step of ['present', 'sleep'] as const) {
    const { ca, clock, get } = start();
    const stop = new AbortController();
    const end = async () => stop.abort(new Error('stopped'));
    const { present } = ca.solver;
    if (step === 'sleep') clock.sleep = end;
    else
      ca.solver = {
        ...ca.solver,
        async present(response, signal) {
          await present(response, signal);
          await end();
        },
      };
    await assert.rejects(get(stop.signal), /stopped/);
    assert.equal(ca.calls.filter(call => call.startsWith('present')).length, 1);
    assert.equal(ca.presented.size, 0, step);
  }
});
