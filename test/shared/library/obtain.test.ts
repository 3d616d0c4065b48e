import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { obtain } from '../../../shared/library/obtain.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { connect } from '../acme/open-connection.ts';
import { type CaScript, scriptCa } from '../order/scripted-ca.ts';
import { ecKey, makeCertificate } from '../pki/openssl-csr.ts';

const key = readFileSync(ecKey(), 'utf8');
const chain = makeCertificate({ names: 'DNS:a.example,DNS:www.a.example' });

function start(script: CaScript = {}) {
  const ca = scriptCa({ chain, ...script });
  const clock = turnedClock(Date.now()); // when the certificate is made
  const account = { client: () => ca, connection: connect('https://ca.example/directory', clock) };
  const get = (signal?: AbortSignal) =>
    obtain(account, { names: ['a.example'], key, solvers: [ca.solver], ...(signal && { signal }) });
  return { ca, clock, get };
}

test('obtain() goes from names to a chain, and leaves nothing presented', async () => {
  const { ca, get } = start();
  assert.deepEqual(await get(), { chain, certificate: 'https://ca.example/cert/1' });
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
  assert.equal((await get()).chain, chain);
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

test('obtain() gives no certificate that is for another key, and none without the name', async () => {
  for (const [sent, fault] of [
    [makeCertificate({ names: 'DNS:a.example', key: ecKey('P-384') }), "is not for the CSR's key"],
    [makeCertificate({ names: 'DNS:b.example' }), 'does not hold a.example'],
  ] as const) {
    const { get } = start({ chain: sent });
    await assert.rejects(get(), { message: `the CA sent a certificate that ${fault}` });
  }
});
