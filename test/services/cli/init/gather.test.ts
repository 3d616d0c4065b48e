import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { UsageError } from '../../../../services/cli/command.ts';
import type { Answers } from '../../../../services/cli/init/answers.ts';
import type { Given, Terminal } from '../../../../services/cli/init/ask.ts';
import type { Facts } from '../../../../services/cli/init/facts.ts';
import { type Asked, gatherAnswers } from '../../../../services/cli/init/gather.ts';
import type { LookAtCa } from '../../../../services/cli/init/look-at-ca.ts';
import type { Directory } from '../../../../shared/acme/directory.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { tlsAuthority } from '../../../support/tls-authority.ts';

const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());
await writeFile(
  join(dir.path, 'acme.key'),
  'key "acme" {\n  algorithm hmac-sha512;\n  secret "c2VjcmV0c2VjcmV0c2VjcmV0";\n};\n',
);
await writeFile(join(dir.path, 'eab.key'), 'a2V5\n');

const facts: Facts = {
  isComposed: false,
  isService: false,
  domain: undefined,
  server: 'quarry',
  hasIpv6: false,
  tryPort: async () => 'free',
};
const directory = (more: Partial<Directory> = {}): Directory => ({
  urls: {},
  externalAccountRequired: false,
  caaIdentities: [],
  ...more,
});
const terms = 'https://ca.example/terms';
const withTerms: LookAtCa = async () => directory({ termsOfService: terms });

/** Somebody who types these lines. */
function person(...lines: string[]): Terminal & { heard: string } {
  const terminal = {
    heard: '',
    say(text: string) {
      terminal.heard += text;
    },
    async line(prompt: string, how?: { isSecret: boolean }) {
      terminal.heard += prompt;
      const line = lines.shift();
      if (line === undefined) throw new Error('nothing is written');
      terminal.heard += how?.isSecret ? '\n' : `${line}\n`;
      return line;
    },
    [Symbol.dispose]() {},
  };
  return terminal;
}

const gather = (asked: Partial<Asked>): Promise<Answers> =>
  gatherAnswers({
    ...{ given: {}, terminal: undefined, takesDefaults: false, facts, defaults: {}, before: undefined },
    ...{ folder: dir.path, lookAtCa: withTerms },
    ...asked,
  });

const needed: Given = {
  email: 'none',
  ca: 'staging',
  name: 'www.example.org',
  prove: 'http',
  clients: 'this-machine',
};

test('without a terminal all that is missing is named, at once', async () => {
  await assert.rejects(gather({ given: { ca: 'staging', prove: 'http' } }), (error: Error) => {
    assert.ok(error instanceof UsageError);
    assert.match(
      error.message,
      /^there is no terminal to ask at: give --email ADDRESS, --name GLOB, --clients this-machine\|CIDR\|key\|token, --accept-terms$/,
    );
    return true;
  });
  // A default stands in where it may, which it never does for the names of a machine without a domain.
  await assert.rejects(gather({ takesDefaults: true }), /give --name GLOB, --accept-terms$/);
});

test('options alone are enough, and defaults where they may be taken', async () => {
  const all = await gather({ given: { ...needed, 'accept-terms': 'true', listen: '127.0.0.1:80' } });
  const expected: Answers = {
    ca: { directory: 'https://acme-staging-v02.api.letsencrypt.org/directory', terms },
    names: ['www.example.org'],
    proof: { kind: 'http', port: 80 },
    clients: [{ kind: 'this-machine' }],
    listeners: ['127.0.0.1:80'],
  };
  assert.deepEqual(all, expected);
  const domain = await gather({
    takesDefaults: true,
    given: { 'accept-terms': 'true' },
    facts: { ...facts, domain: 'hosts.test' },
  });
  assert.equal(domain.contact, 'mailto:hostmaster@hosts.test');
  assert.deepEqual(domain.names, ['hosts.test', '*.hosts.test']);
});

test('an option that will not do is named with the reason', async () => {
  const faults: [given: Given, message: RegExp][] = [
    [{ email: 'x' }, /^--email: is no e-mail address/],
    [{ name: '*' }, /^--name: \* would admit every name/],
    [{ prove: 'magic' }, /^--prove: is none of http/],
    [{ port: '0' }, /^--port: is not a whole number/],
    [{ prove: 'dns' }, /^there is no terminal to ask at: give --dns-server HOST$/],
    [{ prove: 'dns', 'dns-server': '192.0.2.53' }, /give --tsig-key-file FILE$/],
    [
      { prove: 'dns', 'dns-server': '192.0.2.53', 'tsig-key-file': 'none' },
      /^--tsig-key-file: .* cannot be read: no such file/,
    ],
    [{ prove: 'dns', 'dns-server': '192.0.2.53', 'tsig-key-file': 'eab.key' }, /^--tsig-key-file: /],
    [{ prove: 'program', program: 'acme.key' }, /^--program: .* cannot be run: permission denied$/],
    [{ listen: '1313' }, /^--listen: 1313 is not host:port/],
    [{ 'ca-file': 'acme.key' }, /^--ca-file: .* holds no certificate in PEM$/],
    [{ email: 'admin@example.org' }, /^--email: Let's Encrypt takes no address/],
  ];
  for (const [given, message] of faults)
    await assert.rejects(
      gather({ given: { ...needed, 'accept-terms': 'true', ...given } }),
      (error: Error) => error instanceof UsageError && message.test(error.message),
      `${message}`,
    );
});

test('terms of service are accepted by a person, or by an option, and never without being asked for', async () => {
  await assert.rejects(gather({ given: needed }), {
    name: 'UsageError',
    message: `read the CA's terms of service, ${terms}, and give --accept-terms`,
  });
  const no = person('');
  await assert.rejects(gather({ given: needed, terminal: no }), /nothing is written$/);
  assert.match(no.heard, /terms of service: https:\/\/ca\.example\/terms\n {2}Do you accept them\? \[y\/N\]/);
  const yes = await gather({ given: needed, terminal: person('y', '') });
  assert.equal(yes.ca.terms, terms);
  const without = await gather({ given: needed, lookAtCa: async () => directory() });
  assert.equal(without.ca.terms, undefined);
  // What is no link could write anything to the terminal.
  const odd = person('y', '');
  const lookAtCa: LookAtCa = async () => directory({ termsOfService: 'https://ca.example/\u001b[2J' });
  assert.equal((await gather({ given: needed, terminal: odd, lookAtCa })).ca.terms, true);
  assert.ok(!odd.heard.includes('\u001b'));
});

test('a wrong answer is asked again with its reason, until it will do', async () => {
  const lines = ['me', 'me@hosts.test', 'zerossl', 'https://ca.example/dir', 'yes'];
  const more = ['', '*', 'www.hosts.test *.hosts.test', 'magic', 'http', '99999', '', 'all', 'key'];
  const terminal = person(...lines, ...more);
  const answers = await gather({ terminal });
  assert.deepEqual(answers, {
    contact: 'mailto:me@hosts.test',
    ca: { directory: 'https://ca.example/dir', terms },
    names: ['www.hosts.test', '*.hosts.test'],
    proof: { kind: 'http', port: 80 },
    clients: [{ kind: 'key' }],
    listeners: [],
  });
  for (const reason of [
    'me: is no e-mail address',
    'zerossl: is neither staging',
    'an answer is needed',
    '* would admit every name',
    'magic: is none of http, dns',
    '99999: is not a whole number',
    'all is neither this-machine',
  ])
    assert.ok(terminal.heard.includes(reason), `${reason} in ${terminal.heard}`);
});

test('each question has a number, a line of help, and shows its default', async () => {
  const terminal = person('', '', 'y', '', '', '', '');
  await gather({ terminal, facts: { ...facts, domain: 'hosts.test' } });
  const asked = [...terminal.heard.matchAll(/^(\d\/5) .*\n {2}\S.*\n(?: {2}.*\n)*\[(.*)\] > $/gm)];
  assert.deepEqual(
    asked.map(([, number, fallback]) => [number, fallback]),
    [
      ['1/5', 'hostmaster@hosts.test'],
      ['2/5', 'staging'],
      ['3/5', 'hosts.test *.hosts.test'],
      ['4/5', 'http'],
      ['5/5', 'this-machine'],
    ],
  );
});

test('a CA that cannot be asked is asked for again; with --accept-terms it need not be there', async () => {
  const fault = 'connect ECONNREFUSED 192.0.2.1:443';
  const looks: string[] = [];
  const lookAtCa: LookAtCa = async url => {
    looks.push(url);
    return looks.length === 1 ? { fault } : directory();
  };
  const terminal = person('https://one.example/dir', 'https://two.example/dir');
  const { ca: _, ...others } = needed;
  const given = { ...others, port: '80' };
  assert.equal((await gather({ given, terminal, lookAtCa })).ca.directory, 'https://two.example/dir');
  assert.ok(terminal.heard.includes(`https://one.example/dir: ${fault}`));

  const away: LookAtCa = async () => ({ fault });
  await assert.rejects(gather({ given: needed, lookAtCa: away }), {
    name: 'UsageError',
    message: `--ca: ${fault}: look at the URL again; with --accept-terms the CA need not answer now`,
  });
  const { ca } = await gather({ given: { ...needed, 'accept-terms': 'true' }, lookAtCa: away });
  assert.deepEqual([ca.terms, ca.fault], [true, fault]);
});

test('a CA whose TLS nobody vouches for makes it ask for the root, and one for customers for their account', async () => {
  const { caFile } = await tlsAuthority();
  const lookAtCa: LookAtCa = async (_, file) =>
    file === undefined
      ? { fault: 'unable to verify the first certificate' }
      : directory({ externalAccountRequired: true });
  const terminal = person('nowhere.pem', caFile, 'kid 1', 'kid-1', 'not base64!', 'a2V5');
  const given = { ...needed, ca: 'https://ca.example/dir', port: '80' };
  const { ca } = await gather({ given, terminal, lookAtCa });
  const eab = { kid: 'kid-1', hmacKey: 'a2V5' };
  assert.deepEqual(ca, { directory: 'https://ca.example/dir', caFile, eab });
  assert.match(
    terminal.heard,
    /cannot be read: no such file or directory[\s\S]*is not one word[\s\S]*is not base64url/,
  );
  assert.ok(!terminal.heard.includes('a2V5') && !terminal.heard.includes('not base64!'));

  // A mistyped URL does not have the file typed once more, and no answer is told twice.
  const retyping = person('https://ca.example/dri', caFile, 'https://ca.example/dir', '', 'kid-1', 'a2V5');
  const lookAgain: LookAtCa = async (url, file) => {
    const found = await lookAtCa(url, file);
    return file !== undefined && url.endsWith('dri') ? { fault: `${url} is no ACME directory` } : found;
  };
  const { ca: _, ...unknown } = given;
  const again = await gather({ given: unknown, terminal: retyping, lookAtCa: lookAgain });
  assert.deepEqual(again.ca, { directory: 'https://ca.example/dir', caFile, eab });
  assert.match(retyping.heard, /^ {2}https:\/\/ca\.example\/dri is no ACME directory: look at the URL/m);

  const script = { ...given, 'ca-file': caFile, 'eab-kid': 'kid-1', 'eab-hmac-key-file': 'eab.key' };
  assert.deepEqual((await gather({ given: script, lookAtCa })).ca.eab, eab);
});

test('a program that the service could not run is refused', async () => {
  await writeFile(join(dir.path, 'prove'), '', { mode: 0o755 });
  const given = { ...needed, 'accept-terms': 'true', prove: 'program', program: 'prove' };
  const options = { ...given, 'program-challenge': 'dns-01' };
  const { proof } = await gather({ given: options });
  assert.deepEqual(proof, { kind: 'program', challenge: 'dns-01', command: join(dir.path, 'prove') });
  await assert.rejects(gather({ given: options, facts: { ...facts, isService: true } }), {
    message: /^--program: lies in \S+, where the service's user cannot run it$/,
  });
});

test('where something has port 80 another one is the default, and why is said', async () => {
  for (const [state, why] of [
    ['taken', 'Something on this machine has port 80'],
    ['forbidden', 'Only root may listen on port 80'],
  ] as const) {
    const terminal = person('');
    const { proof } = await gather({
      ...{ terminal, given: { ...needed, 'accept-terms': 'true' } },
      facts: { ...facts, tryPort: async () => state },
    });
    assert.deepEqual(proof, { kind: 'http', port: 1380 });
    assert.ok(terminal.heard.includes(why));
  }
});

test('the key of dynamic updates is taken out of its file', async () => {
  const given = { ...needed, prove: 'dns', 'dns-server': 'ns.hosts.test:5353', 'tsig-key-file': 'acme.key' };
  const { proof } = await gather({ given: { ...given, 'accept-terms': 'true' } });
  assert.deepEqual(proof, {
    kind: 'dns',
    server: 'ns.hosts.test:5353',
    key: { name: 'acme', algorithm: 'hmac-sha512', secret: 'c2VjcmV0c2VjcmV0c2VjcmV0' },
  });
});

test('containers are told neither of this machine nor of what they lack', async () => {
  const terminal = person('tls-alpn', 'program', 'http', '8080', 'this-machine', 'token');
  const { prove: _, clients: __, ...given } = needed;
  const answers = await gather({
    ...{ terminal, given: { ...given, 'accept-terms': 'true' } },
    facts: { ...facts, isComposed: true },
  });
  assert.deepEqual([answers.proof, answers.clients], [{ kind: 'http', port: 8080 }, [{ kind: 'token' }]]);
  assert.match(terminal.heard, /needs more than compose\.yaml has[\s\S]*containers cannot tell/);
});

test('what is wrong with an option is said before the CA is asked', async () => {
  for (const [option, wrong] of Object.entries({ name: 'no name', prove: 'typo', clients: 'nobody' })) {
    const lookAtCa: LookAtCa = async () => assert.fail('the CA was asked');
    await assert.rejects(gather({ given: { ...needed, [option]: wrong }, lookAtCa }), ({ message }: Error) =>
      message.startsWith(`--${option}: `),
    );
  }
});
