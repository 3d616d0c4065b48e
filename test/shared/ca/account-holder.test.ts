import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CaConnection } from '../../../shared/acme/connection.ts';
import { describeError, IssuanceError } from '../../../shared/base/errors.ts';
import { type AccountState, holdAccount } from '../../../shared/ca/account-holder.ts';
import { never } from '../acme/open-connection.ts';

const connection = {} as CaConnection;
const account = { keyPem: 'a key', url: 'https://ca.example/account/1' };
const open = { url: account.url };
const refused = (detail: string) => new IssuanceError('misconfigured', detail);

/** An account that opens with what `answers` give, one after the other, and what was told of it. */
function hold(...answers: (typeof account | Error)[]) {
  const states: AccountState[] = [];
  const opened = async () => {
    const answer = answers.shift() ?? account;
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { states, holder: holdAccount(connection, opened, state => void states.push(state)) };
}

test('an account tells how it is each time that it is opened, refused or well again', async () => {
  const { holder, states } = hold(refused('terms'), account);
  assert.deepEqual(states, []);
  await assert.rejects(holder.open(never), /terms/);
  await holder.open(never);
  holder.note(refused('deactivated'));
  holder.note(undefined);
  assert.deepEqual(states, [{ fault: 'terms' }, open, { fault: 'deactivated' }, open]);
});

test('an account that is refused again for the same reason, or is well still, tells nothing new', async () => {
  const { holder, states } = hold();
  await holder.open(never);
  holder.note(undefined);
  for (const detail of ['deactivated', 'deactivated', 'paused', 'paused']) holder.note(refused(detail));
  for (let times = 0; times < 2; times++) holder.note(undefined);
  assert.deepEqual(states, [open, { fault: 'deactivated' }, { fault: 'paused' }, open]);
});

test('a refused account is ordered from all the same, as only the CA can say when it is well again', async () => {
  const { holder } = hold();
  await holder.open(never);
  holder.note(refused('deactivated'));
  assert.deepEqual([holder.current, describeError(holder.fault)], [account, 'deactivated']);
  holder.note(undefined);
  assert.deepEqual([holder.current, holder.fault], [account, undefined]);
});

test('an account that is made anew tells its new URL, and the reason where it cannot be', async () => {
  const renewed = { ...account, url: 'https://ca.example/account/2' };
  const { holder, states } = hold(account, refused('terms'), renewed);
  const lost = await holder.open(never);
  await assert.rejects(holder.renew(lost, never), /terms/);
  await holder.renew(lost, never);
  assert.deepEqual(states, [open, { fault: 'terms' }, { url: renewed.url }]);
});
