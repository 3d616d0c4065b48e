import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toRenewalJob } from '../../../services/scheduler/renewal-job.ts';
import type { AccountChoice } from '../../../shared/admission/account-choice.ts';
import { openAdmission } from '../../../shared/admission/admit.ts';
import { readCertificate } from '../../../shared/pki/certificate.ts';
import { readCsr } from '../../../shared/pki/csr.ts';
import type { ManagedCertificate } from '../../../shared/renewal/renewal-index.ts';
import { ecKey, makeCertificate, makeCsr } from '../../shared/pki/openssl-csr.ts';
import { hmacBlock } from '../intake/open-intake.ts';

const names = 'DNS:www.example.org';

/** The accounts that would renew a stored certificate with a key on this curve. */
async function accountsFor(curve: string, accounts: AccountChoice[]): Promise<string[]> {
  const admission = openAdmission([{ ...hmacBlock, accounts }]);
  const key = ecKey(curve);
  const chain = makeCertificate({ names, key });
  const csr = readCsr(Buffer.from(makeCsr({ names, key })));
  const managed = { certificate: 'x', named: false, notAfter: 1 } as ManagedCertificate;
  const entry = { chain, leaf: readCertificate(chain), csr };
  const from = { storage: 'kept', entry, fetched: { block: 'hmac', at: 0 } };
  const job = await toRenewalJob({ admission, caOf: () => undefined }, managed, from);
  return job.accounts.map(({ account }) => account);
}

const both: AccountChoice[] = [{ account: 'public' }, { account: 'private', anyKey: true }];

test('a stored certificate with a usual key is renewed at any account of its block', async () => {
  assert.deepEqual(await accountsFor('P-256', both), ['public', 'private']);
});

test('a stored certificate with an unusual key is renewed only where the CA takes any', async () => {
  assert.deepEqual(await accountsFor('P-521', both), ['private']);
  await assert.rejects(accountsFor('P-521', [{ account: 'public' }]), { code: 'badCsr', message: /P-521/ });
});
