import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextTime } from '../../../shared/shaman/renewal-section.ts';
import { loadText } from '../setup/load-text.ts';

const base = '[account]\ndir = /a\n[auth a]\nip = 127.0.0.1\ndomain = *.example.org\n';

test('[renewal] reads directory, schedule, accounts and verifications, or takes the default verification', async () => {
  const { renewals } =
    await loadText(`${base}[verification "a"]\ntype = http01\n[verification "b"]\ntype = http01
[mgmt]\ndefault-verification = b
[renewal "web"]\nshaman-profile = /srv/acme\nschedule = 30  4,16 * * *\nverification = b, a
[account "other"]\ndir = /b
[renewal "mail"]\nshaman-profile = mail\naccount = other, default`);
  assert.deepEqual(renewals, [
    {
      name: 'web',
      directory: '/srv/acme',
      schedule: '30 4,16 * * *',
      accounts: [],
      verifications: ['b', 'a'],
    },
    {
      name: 'mail',
      directory: renewals[1]?.directory,
      accounts: ['other', 'default'],
      verifications: ['b'],
    },
  ]);
  assert.match(renewals[1]?.directory ?? '', /^\/.*\/mail$/);
});

for (const [what, lines, reason] of [
  ['no directory', '', /shaman-profile: is missing/],
  [
    'an undefined verification',
    'shaman-profile = /a\nverification = x',
    /verification: no \[verification "x"\] is defined/,
  ],
  ['an undefined account', 'shaman-profile = /a\naccount = x', /account: no \[account "x"\] is defined/],
  ['seconds', 'shaman-profile = /a\nschedule = 0 30 4 * * *', /schedule: is not a pattern such as "30 4,16/],
  [
    'a minute that does not exist',
    'shaman-profile = /a\nschedule = 60 4 * * *',
    /schedule: is not a pattern such as/,
  ],
  ['words', 'shaman-profile = /a\nschedule = every day at four o’clock', /schedule: is not a pattern/],
  [
    'a day that never comes',
    'shaman-profile = /a\nschedule = 0 0 30 2 *',
    /schedule: (never comes true|is not a pattern)/,
  ],
  ['an unknown option', 'shaman-profile = /a\ndirectory = /a', /directory: unknown option/],
] as const)
  test(`[renewal] refuses ${what}`, async () => {
    await assert.rejects(loadText(`${base}[renewal "web"]\n${lines}\n`), reason);
  });

test('[renewal] needs a name', async () => {
  await assert.rejects(
    loadText(`${base}[renewal]\nshaman-profile = /a\n`),
    /needs a name: \[renewal "name"\]/,
  );
});

test('nextTime() reckons in UTC, and never answers with the time itself', () => {
  const at = Date.parse('2026-11-25T04:30:00Z');
  assert.equal(nextTime('30 4,16 * * *', at), Date.parse('2026-11-25T16:30:00Z'));
  assert.equal(nextTime('30 4,16 * * *', at - 1), at);
  assert.equal(nextTime('0 0 29 2 *', at), Date.parse('2028-02-29T00:00:00Z'));
});
