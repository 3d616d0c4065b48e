import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  parseCa,
  parseClients,
  parseEmail,
  parseNames,
  parseProofKind,
} from '../../../../services/cli/init/answers.ts';
import type { Parse } from '../../../../shared/config/parse.ts';

/** What is read, or why nothing is. */
function read<T>(parse: Parse<T>, text: string): T | { refused: string } {
  const refused = new Error();
  try {
    return parse(text, reason => {
      refused.message = reason;
      throw refused;
    });
  } catch (error) {
    if (error !== refused) throw error;
    return { refused: refused.message };
  }
}

const taken: [parse: Parse<unknown>, text: string, value: unknown][] = [
  [parseEmail, 'admin@example.org', 'mailto:admin@example.org'],
  [parseEmail, 'None', undefined],
  [parseCa, 'Staging', 'https://acme-staging-v02.api.letsencrypt.org/directory'],
  [parseCa, 'letsencrypt', 'https://acme-v02.api.letsencrypt.org/directory'],
  [parseCa, 'https://ca.example/acme', 'https://ca.example/acme'],
  [parseCa, 'http://127.0.0.1:14000/dir', 'http://127.0.0.1:14000/dir'],
  [
    parseNames,
    'Example.org, *.example.org  example.org. www?.example.org',
    ['example.org', '*.example.org', 'www?.example.org'],
  ],
  [parseNames, 'bücher.example', ['xn--bcher-kva.example']],
  [
    parseClients,
    'this-machine 192.0.2.0/24,2001:db8::/32 token',
    [
      { kind: 'this-machine' },
      { kind: 'network', cidr: '192.0.2.0/24' },
      { kind: 'network', cidr: '2001:db8::/32' },
      { kind: 'token' },
    ],
  ],
  [parseClients, 'key key:Web1.example.org', [{ kind: 'key' }, { kind: 'key', host: 'web1.example.org' }]],
  [parseProofKind, 'TLS-ALPN', 'tls-alpn'],
];

for (const [parse, text, value] of taken)
  test(`quarry init takes ${JSON.stringify(text)}`, () => assert.deepEqual(read(parse, text), value));

const refused: [parse: Parse<unknown>, text: string, reason: RegExp][] = [
  [parseEmail, 'admin', /^is no e-mail address/],
  [parseEmail, 'admin@localhost', /^is no e-mail address/],
  [parseEmail, 'mailto:a@example.org', /^is no e-mail address/],
  [parseCa, 'zerossl', /^is neither staging, letsencrypt nor the https/],
  [parseCa, 'http://ca.example/acme', /^must be https/],
  [parseCa, 'ftp://ca.example/acme', /^is not an https/],
  [parseNames, ' , ', /^holds no name/],
  [parseNames, 'https://www.example.org/', /is a URL: write the name in it alone$/],
  [parseNames, 'a.example.org 192.0.2.1', /^192\.0\.2\.1 is an address/],
  [parseNames, '*', /^\* would admit every name/],
  [parseNames, 'example.org *.*', /^\*\.\* would admit every name/],
  [parseNames, 'www', /^www is not a whole name/],
  [parseNames, 'a_b.example.org/x', /is no name such as/],
  // A line's end, or a bracket, would be more than a value to main.ini.
  [parseNames, '[auth]', /is no name such as/],
  [parseClients, '', /^names nobody/],
  [parseClients, 'everybody', /^everybody is neither this-machine, key/],
  [parseClients, '192.0.2.1/24', /^192\.0\.2\.1\/24 /],
  [parseClients, '192.0.2.0/33', /needs a number from 0 to 32/],
  [parseClients, 'key:*.example.org', /has no whole name of a host/],
  [parseProofKind, 'https', /^is none of http, dns, tls-alpn, program$/],
];

for (const [parse, text, reason] of refused)
  test(`quarry init refuses ${JSON.stringify(text)}, and says why`, () => {
    const { refused = '' } = read(parse, text) as { refused?: string };
    assert.match(refused, reason);
  });
