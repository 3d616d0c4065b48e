import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openAdmission } from '../../../shared/admission/admit.ts';
import type { AuthBlockConfig } from '../../../shared/admission/auth-section.ts';
import type { AccountBinding } from '../../../shared/admission/methods.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { toRequest } from './admission-request.ts';

const block = (name: string, rest: Partial<AuthBlockConfig>): AuthBlockConfig => ({
  ...{ name, ips: [], all: false, domains: ['*.example.org'], addresses: [] },
  ...{ verifications: ['http'], challenges: ['http-01'], storage: 'none' },
  accounts: [{ account: 'default' }],
  ...rest,
});
const hmac = { type: 'sha512', keys: ['the new key', 'the old key'], version: 2 as const };
const web = block('web', { hmac });
const mail = block('mail', { hmac: { type: 'sha256', keys: ['key of mail'] }, ips: ['192.0.2.0/24'] });
const open = block('open', { ips: ['203.0.113.0/24'] });

/** As an account has it whose binding was made with this key. */
const bound = (kid: string, by: string): AccountBinding => ({ kid, isMadeWith: key => key === by });

/** By which blocks, and how; or why not. */
async function ask(
  binding: AccountBinding | undefined,
  clientIp = '192.0.2.1',
  blocks: AuthBlockConfig[] = [web, mail, open],
): Promise<string[] | string> {
  const admission = openAdmission(blocks);
  const request = toRequest({ clientIp, binding });
  try {
    const found = await admission.verified(admission.possible(request), request, undefined);
    return found.map(({ name, by, bound }) => `${name}: ${by}${bound ? ', bound' : ''}`);
  } catch (error) {
    assert.ok(error instanceof IssuanceError && error.code === 'denied', String(error));
    return error.message;
  }
}

const unbound =
  'no auth block admits 192.0.2.1 with this external account binding: its key id or its key is not known here, or not any more; register anew with both as quarry check --eab or quarry token add prints them';

test("an account is known by the binding that one of its block's keys made, which hmac = v2 takes, too", async () => {
  assert.deepEqual(await ask(bound('web', 'the new key')), ['web: hmac key 1, bound']);
  assert.deepEqual(await ask(bound('web', 'the old key')), ['web: hmac key 2, bound']);
});

test('a key that is taken out of the configuration ends what is bound by it, and no other', async () => {
  const rotated = [block('web', { hmac: { ...hmac, keys: ['the new key'] } })];
  assert.equal(await ask(bound('web', 'the old key'), '192.0.2.1', rotated), unbound);
  assert.deepEqual(await ask(bound('web', 'the new key'), '192.0.2.1', rotated), ['web: hmac key 1, bound']);
});

test('the refusal of a wrong key does not tell whether there is such a block', async () => {
  assert.equal(await ask(bound('web', 'another key')), unbound);
  assert.equal(await ask(bound('nobody', 'the new key')), unbound);
  assert.equal(await ask(bound('mail', 'the new key')), unbound);
  assert.equal(
    await ask(bound('mail', 'key of mail'), '198.51.100.1'),
    unbound.replace('192.0.2.1', '198.51.100.1'),
  );
});

test('the other methods of a block judge an account as any request, and a binding is of no use to them', async () => {
  assert.deepEqual(await ask(bound('mail', 'key of mail')), ['mail: address, hmac key 1, bound']);
  assert.deepEqual(await ask(undefined, '203.0.113.9'), ['open: address']);
  assert.deepEqual(await ask(bound('web', 'another key'), '203.0.113.9'), ['open: address']);
  assert.deepEqual(await ask(bound('open', 'the new key'), '203.0.113.9'), ['open: address']);
});

test('an account without a binding is told that it lacks one', async () => {
  assert.equal(await ask(undefined), 'no auth block admits 192.0.2.1 without an external account binding');
});

test('all keys of a block are tried, whichever it is', async () => {
  const tried: unknown[] = [];
  const isMadeWith: AccountBinding['isMadeWith'] = key => tried.push(key) === 1;
  assert.deepEqual(await ask({ kid: 'web', isMadeWith }), ['web: hmac key 1, bound']);
  assert.deepEqual(tried, hmac.keys);
});
