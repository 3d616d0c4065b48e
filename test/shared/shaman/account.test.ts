import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/basics.ts';
import { openCaOf } from '../../../shared/ca/open-ca.ts';
import { openAccounts } from '../../../shared/shaman/account.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { accountKeyPem, never } from '../acme/open-connection.ts';

const problem = { type: 'urn:ietf:params:acme:error:accountDoesNotExist' };
const gone = () => new IssuanceError('gone', 'no such account', { problem });

/** A CA whose accounts are numbered, and what they were asked for in place of. */
function openGround() {
  const lost: (string | undefined)[] = [];
  const of = { name: 'shaman.json', directoryUrl: 'https://ca.example/directory', ca: undefined };
  const open = async (_: unknown, __: unknown, url?: string) => ({
    keyPem: accountKeyPem,
    url: `https://ca.example/account/${lost.push(url)}`,
  });
  const ca = openCaOf(of, open, turnedClock(0));
  return { ca, lost, accounts: openAccounts({ log: quietLog, signal: never }) };
}

test('actAs() has an account that its CA has lost made anew, and acts once more as that', async () => {
  const { ca, lost, accounts } = openGround();
  const urls: string[] = [];
  const act = async ({ accountUrl }: { accountUrl: string }) => {
    if (urls.push(accountUrl) === 1) throw gone();
    return 'done';
  };
  assert.equal(await accounts.actAs(ca, act), 'done');
  assert.deepEqual(urls, ['https://ca.example/account/1', 'https://ca.example/account/2']);
  assert.deepEqual(lost, [undefined, 'https://ca.example/account/1']);
});

test('actAs() does so once, and not for other failures', async () => {
  const { ca, lost, accounts } = openGround();
  await assert.rejects(
    accounts.actAs(ca, async () => Promise.reject(gone())),
    /no such account/,
  );
  assert.equal(lost.length, 2);
  await assert.rejects(
    accounts.actAs(ca, async () => Promise.reject(new IssuanceError('gone', 'no order'))),
    /no order/,
  );
  assert.equal(lost.length, 2);
});
