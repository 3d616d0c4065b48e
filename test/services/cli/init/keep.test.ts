import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Answers } from '../../../../services/cli/init/answers.ts';
import { saysTheSame } from '../../../../services/cli/init/existing.ts';
import { keepOld } from '../../../../services/cli/init/keep.ts';
import { renderIni, toSections } from '../../../../services/cli/init/main-ini.ts';
import { parseIni } from '../../../../shared/config/ini.ts';

const place = { kind: 'here', file: '/q/main.ini', data: '/q/quarry-data' } as const;
const first: Answers = {
  contact: 'mailto:admin@example.org',
  ca: {
    directory: 'https://one.example/dir',
    terms: 'https://one.example/terms',
    eab: { kid: 'kid', hmacKey: 'a2V5' },
  },
  names: ['example.org'],
  proof: { kind: 'http', port: 80 },
  clients: [{ kind: 'this-machine' }, { kind: 'key' }],
  listeners: [],
};
let made = 0;
const render = (answers: Answers) =>
  renderIni(toSections(answers, place, { hasIpv6: false, makeKey: () => `new-key-${++made}` }), 'check');

/** The file after the questions were answered again. */
function again(before: string, answers: Answers): string {
  const sections = toSections(answers, place, { hasIpv6: false, makeKey: () => `new-key-${++made}` });
  return renderIni(keepOld(parseIni(before, ''), sections), 'check');
}

/** The lines of a section. */
function linesOf(text: string, heading: string): string[] {
  const [, body = ''] = text.split(`${heading}\n`);
  return body.split('\n\n')[0]?.trim().split('\n') ?? [];
}

test('the same answers say the same, keys included, whatever comments stand there', () => {
  const before = render(first).replace('[mgmt]', '# mine\n[mgmt]');
  assert.ok(saysTheSame({ sections: parseIni(before, '') }, again(before, first)));
  const other = { ...first, names: ['example.net'] };
  assert.ok(!saysTheSame({ sections: parseIni(before, '') }, again(before, other)));
});

test('a key that hosts use is never lost: not by other clients, and not by other names', () => {
  const before = render(first);
  const [key = ''] = linesOf(before, '[auth "hosts"]').filter(line => line.startsWith('hmac_key'));
  for (const clients of [
    first.clients,
    [{ kind: 'this-machine' }, { kind: 'token' }],
  ] as Answers['clients'][]) {
    const lines = linesOf(again(before, { ...first, clients, names: ['example.net'] }), '[auth "hosts"]');
    assert.ok(lines.includes(key), `${lines}`);
    assert.ok(lines.includes('domain = example.org'));
    assert.equal(lines.filter(line => line.startsWith('hmac_key')).length, 1);
  }
});

test('who needs nothing to be let in is let in no more once the answer is another', () => {
  const before = render({ ...first, clients: [...first.clients, { kind: 'network', cidr: '192.0.2.0/24' }] });
  assert.match(before, /^\[auth "this-machine"\][\s\S]*^\[auth "network"\]/m);
  const after = again(before, { ...first, clients: [{ kind: 'token' }] });
  assert.deepEqual(after.match(/^\[auth ".*/gm), ['[auth "hosts"]', '[auth "tokens"]']);
});

test('a block whose hosts sign by version 1, or which has two keys, stays as it is but for more names', () => {
  const old =
    '[auth "hosts"]\nhmac_type = sha512\nhmac_key_file = /etc/a\nhmac_key = b\nrate = 9/min\ndomain = a.example.org';
  const lines = linesOf(again(`${old}\n`, { ...first, names: ['*.example.org'] }), '[auth "hosts"]');
  assert.deepEqual(lines, [...old.split('\n').slice(1), 'domain = *.example.org']);
});

test('what nobody is asked for stays: options, sections, and the order of the auth blocks', () => {
  const before = `${render(first)
    .replace('[mgmt]\n', '[mgmt]\nwait = 60\ntls-cert = /etc/cert\n')
    .replace(
      '[auth "this-machine"]',
      '[auth "mine"]\nip = 192.0.2.1\nverification = extra, http\n\n[auth "this-machine"]',
    )}
[verification "extra"]
type = http01

[notify "mail"]
url = https://example.org
`;
  const answers: Answers = { ...first, proof: { kind: 'tls-alpn', port: 443 } };
  const after = again(before, answers);
  for (const line of ['wait = 60', 'tls-cert = /etc/cert', 'default-verification = tls-alpn'])
    assert.ok(linesOf(after, '[mgmt]').includes(line), line);
  for (const heading of [
    '[auth "mine"]',
    '[verification "extra"]',
    '[notify "mail"]',
    '[verification "http"]',
  ])
    assert.deepEqual(linesOf(after, heading), linesOf(before, heading));
  assert.ok(after.indexOf('[auth "mine"]') < after.indexOf('[auth "this-machine"]'));
});

test('a way of proving that no block names any more gives its ports back', () => {
  const after = again(render(first), { ...first, proof: { kind: 'tls-alpn', port: 443 } });
  assert.ok(!after.includes('[verification "http"]'), after);
});

test('the account keeps its key at another CA, but not what the first one has handed out', () => {
  const before = render(first)
    .replace('/q/quarry-data/account', '/elsewhere')
    .replace('[account]\n', '[account]\nproxy = http://p:1\n');
  const ofOther = linesOf(
    again(before, { ...first, ca: { directory: 'https://two.example/dir' } }),
    '[account]',
  );
  assert.ok(ofOther.includes('dir = /elsewhere') && ofOther.includes('proxy = http://p:1'), `${ofOther}`);
  assert.doesNotMatch(ofOther.join('\n'), /eab|terms|one\.example/);
  const named = again(before.replace('[account]', '[account "default"]'), first);
  assert.equal(named.match(/^\[account/gm)?.length, 1, named);
  const { eab: _, ...ca } = first.ca;
  const ofSame = linesOf(again(before, { ...first, ca }), '[account]');
  assert.ok(ofSame.includes('eab-kid = kid') && ofSame.includes('eab-hmac-key = a2V5'), `${ofSame}`);
});

test('the key of dynamic updates stays where no other is given', () => {
  const key = { name: 'acme', algorithm: 'hmac-sha256', secret: 'c2VjcmV0c2VjcmV0c2VjcmV0' };
  const before = render({ ...first, proof: { kind: 'dns', server: '192.0.2.53', key } });
  const lines = linesOf(
    again(before, { ...first, proof: { kind: 'dns', server: '192.0.2.54' } }),
    '[verification "dns"]',
  );
  assert.deepEqual(lines, [
    'type = rfc2136',
    'dns-server = 192.0.2.54',
    'tsig-name = acme',
    'tsig-algorithm = hmac-sha256',
    `tsig-secret = ${key.secret}`,
  ]);
});
