import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Answers } from '../../../../services/cli/init/answers.ts';
import type { Place } from '../../../../services/cli/init/main-ini.ts';
import { tellChoices, tellExisting } from '../../../../services/cli/init/tell.ts';

const answers: Answers = {
  ca: { directory: 'https://acme-staging-v02.api.letsencrypt.org/directory', terms: true },
  names: ['*.example.org'],
  proof: { kind: 'http', port: 1380 },
  clients: [{ kind: 'key' }],
  listeners: [],
};

/** The row of that name. */
function row(
  name: string,
  more: Partial<Answers>,
  listeners = ['0.0.0.0:1313'],
  kind: Place['kind'] = 'here',
) {
  const place = { kind, file: '/q/main.ini', data: '/q/quarry-data' };
  const text = tellChoices({ ...answers, ...more }, place, {
    listeners,
    kept: [],
    again: 'quarry init my.ini',
  });
  return new RegExp(`^ {2}${name} +(.*)$`, 'm').exec(text)?.[1] ?? '';
}

test('what the answers cost is told in plain words', () => {
  const rows: [row: string, told: RegExp][] = [
    [
      row('CA', {}),
      /^Let's Encrypt's staging: no browser trusts its certificates\. When all works: quarry init my\.ini --ca letsencrypt$/,
    ],
    [row('account', {}), /^without an address, terms accepted; .*back that up$/],
    [row('names', {}), /\*\.example\.org does not hold example\.org itself; no wildcard certificates/],
    [
      row('names', { names: ['*.example.org', 'example.org'] }),
      /^\*\.example\.org, example\.org; no wildcard/,
    ],
    [row('names', { proof: { kind: 'dns', server: 'ns' }, names: ['a.example.org'] }), /^a\.example\.org$/],
    [row('proof', {}), /^http: Quarry has port 1380, behind port 80$/],
    [row('proof', {}, [], 'compose'), /^http, at port 1380 of this machine$/],
    [row('clients', {}), /^hosts with the key; by HMAC version 2, which nobody can send again/],
    [row('storage', {}), /renewed before they ask again \(renew-ahead = yes\)$/],
  ];
  for (const [text, told] of rows) assert.match(text, told);
});

test('who gets to the listeners is told as it is', () => {
  assert.match(row('listens', {}), /at all addresses, so let a firewall keep others out$/);
  assert.match(row('listens', {}, ['192.0.2.1:80']), /^192\.0\.2\.1:80: let a firewall keep others out$/);
  assert.match(row('listens', {}, ['127.0.0.1:80']), /of loopback alone, so no other host gets there/);
  const own: Partial<Answers> = { clients: [{ kind: 'this-machine' }] };
  assert.match(row('listens', own, ['127.0.0.1:80']), /nobody else is let in$/);
});

test('a file that says what nobody is asked for is not told as something else', () => {
  assert.equal(
    tellExisting('/q/main.ini', { ca: 'staging', name: 'a.example.org' }),
    '/q/main.ini is there already: CA staging, names a.example.org, proof of its own, clients of its own.\n',
  );
});
