import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openAdmission } from '../../../shared/admission/admit.ts';
import { findUnreachable } from '../../../shared/admission/unreachable-blocks.ts';
import { account, loadText, refusal } from '../setup/load-text.ts';
import { toRequest } from './admission-request.ts';

const block = (...options: string[]) =>
  `[auth "a"]\nip = 192.0.2.0/24\ndomain = a.example\n${options.join('\n')}\n${account}`;

test('[auth] wants no proof by the client, unless it says so', async () => {
  const { auth } = await loadText(block());
  assert.equal('clientProof' in (auth[0] ?? {}), false);
});

test('[auth] reads client-proof as a list, repeated, and once each', async () => {
  const options = ['client-proof = http-01, DNS-01', 'client-proof = tls-alpn-01, http-01'];
  const { auth, warnings } = await loadText(block(...options, 'client-proof-network = 10.0.0.0/8'));
  assert.deepEqual(auth[0]?.clientProof, {
    types: ['http-01', 'dns-01', 'tls-alpn-01'],
    networks: ['10.0.0.0/8'],
  });
  assert.deepEqual(warnings, []);
});

for (const [option, why] of [
  ['client-proof = http', /client-proof: is none of address, http-01, dns-01, tls-alpn-01$/],
  ['client-proof = http-01,', /client-proof: is none of/],
  ['client-proof-network = 10.0.0.0/8', /client-proof-network: needs client-proof beside it$/],
  ['client-proof = address\nclient-proof-network = ten', /client-proof-network: is not an IP address/],
] as const)
  test(`[auth] refuses ${option.split('\n').join(' with ')}`, async () => {
    assert.match(await refusal(block(option)), why);
  });

test('[auth] warns of a proof that can prove nothing', async () => {
  const only = await loadText(block('address = 192.0.2.0/24', 'client-proof = dns-01'));
  assert.match(only.warnings.join(), /client-proof: proves no addresses/);
  const both = await loadText(block('address = 192.0.2.0/24', 'client-proof = dns-01, http-01'));
  assert.deepEqual(both.warnings, []);
  const hidden = await loadText(block('client-proof = address'));
  assert.match(hidden.warnings.join(), /ip: proves nothing for 192\.0\.2\.0\/24, which is not public/);
  const shown = await loadText(block('client-proof = address', 'client-proof-network = 192.0.0.0/16'));
  assert.deepEqual(shown.warnings, []);
});

const proving = ['client-proof = http-01'];
const forAcme = toRequest({ binding: undefined });

test('a block with client-proof admits ACME clients, and no posts', async () => {
  const { auth } = await loadText(block(...proving));
  const admission = openAdmission(auth);
  const [found] = admission.possible(forAcme);
  assert.equal(found?.name, 'a');
  assert.throws(() => admission.possible(toRequest()), {
    code: 'denied',
    message:
      'no auth block admits 192.0.2.1 without a proof of the names by the client (client-proof): ' +
      'that takes an ACME client',
  });
  const stranger = toRequest({ clientIp: '198.51.100.1' });
  assert.throws(() => admission.possible(stranger), { message: /without an HMAC/ }, 'not told of others');
});

test('posts are admitted by a block without client-proof beside one that has it', async () => {
  const other = '[auth "b"]\nip = 192.0.2.0/24\ndomain = a.example\n';
  const { auth } = await loadText(block(...proving) + other);
  const admission = openAdmission(auth);
  assert.deepEqual(
    admission.possible(toRequest()).map(({ name }) => name),
    ['b'],
  );
  assert.deepEqual(
    admission.possible(forAcme).map(({ name }) => name),
    ['a', 'b'],
  );
  assert.deepEqual(findUnreachable(auth), [], 'the second is reached by posts');
  const { auth: alike } = await loadText(block() + other);
  assert.equal(findUnreachable(alike).length, 1);
});
