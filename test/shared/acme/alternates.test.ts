import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AcmeClient, openAcmeClient } from '../../../shared/acme/client.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { ecKey, openssl } from '../pki/openssl-csr.ts';
import { startWithAccount } from './account-ready.ts';
import { type CaAnswer, type FakeCa, problem } from './fake-ca.ts';
import { never } from './open-connection.ts';

const signedBy = (issuer: string) =>
  openssl('req', '-x509', '-new', '-key', ecKey(), '-subj', `/CN=${issuer}`);
const [inHand, wanted, other] = ['Root A', 'Root B', 'Root C'].map(signedBy) as [string, string, string];

type Ready = AsyncDisposable & { ca: FakeCa; client: AcmeClient; warnings: string[] };

/** A CA that has one chain, and others beside it. */
async function start(answers: CaAnswer[], own = inHand): Promise<Ready> {
  const ready = await startWithAccount();
  const { ca, account } = ready;
  const links = answers.map((_, index) => `</alternate/${index}>;rel="alternate"`);
  ca.on('/cert/1', () => ({ headers: { Link: links.join(', ') }, body: own }));
  for (const [index, answer] of answers.entries()) ca.on(`/alternate/${index}`, () => answer);
  const client = openAcmeClient({ ...ready.connection, clock: turnedClock(0) }, account, never);
  return { ca, client, warnings: [], [Symbol.asyncDispose]: () => ready[Symbol.asyncDispose]() };
}

const download = ({ ca, client, warnings }: Ready) =>
  client.downloadChain(`${ca.url}/cert/1`, 'Root B', fault => warnings.push(fault));

for (const [what, answer] of [
  ['404', problem(404, 'malformed', 'no such chain')],
  ['500', problem(500, 'serverInternal', 'the database is away')],
  ['403', problem(403, 'unauthorized', 'not yours')],
  ['429', problem(429, 'rateLimited', 'too many')],
  ['no PEM', { body: 'not found' }],
  ['an empty text', { body: '' }],
  ['JSON', { body: { chain: 'none' } }],
  ['a damaged certificate', { body: inHand.replace(/M/g, 'A') }],
] as const)
  test(`downloadChain() hands out the chain in hand where an alternate one answers ${what}, and says so`, async () => {
    await using ready = await start([answer]);
    assert.equal(await download(ready), inHand);
    assert.equal(ready.warnings.length, 1);
    assert.match(ready.warnings[0] ?? '', /^the alternate chain \S+\/alternate\/0 is passed over: /);
  });

test('downloadChain() finds the wanted chain behind one that cannot be read, and behind one that is not wanted', async () => {
  await using ready = await start([problem(500, 'serverInternal', 'x'), { body: other }, { body: wanted }]);
  assert.equal(await download(ready), wanted);
  assert.equal(ready.warnings.length, 1);
});

test('downloadChain() asks for no alternate where the chain in hand is the wanted one, or is none', async () => {
  for (const own of [wanted, 'no chain']) {
    await using ready = await start([{ body: other }], own);
    assert.equal(await download(ready), own);
    assert.equal(ready.ca.log().includes('POST /alternate/0'), false);
  }
});

test('downloadChain() follows ten alternates and no more', async () => {
  await using ready = await start(Array.from({ length: 50 }, () => ({ body: other })));
  assert.equal(await download(ready), inHand);
  assert.equal(ready.ca.log().filter(line => line.startsWith('POST /alternate/')).length, 10);
});
