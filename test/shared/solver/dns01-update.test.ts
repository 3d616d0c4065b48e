import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { DnsUpdateConfig } from '../../../shared/solver/dns01-update.ts';
import { account, auth, loadTexts } from '../setup/load-text.ts';

const secret = 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ==';
const keyFile = `key "Acme.Example.org" {\n\talgorithm hmac-sha512;\n\tsecret "${secret}";\n};\n`;
const files = {
  'key.conf': keyFile,
  'key.txt': `${secret}\n`,
  'key.bad': 'key "acme" { algorithm hmac-md5; };',
  empty: '',
};

/** Files that lie beside the configuration; only it is read as one. */
async function load(options: string, type = 'dns01-dnsUpdate'): Promise<DnsUpdateConfig> {
  const block = `[verification "dns"]\ntype = ${type}\n${options}\n`;
  const { verifications } = await loadTexts({ 'main.ini': `${block}${account}${auth}` }, {}, files);
  return verifications.get('dns') as DnsUpdateConfig;
}

const secretOf = ({ key }: DnsUpdateConfig) => key?.secret.export().toString('base64');

suite('type = dns01-dnsUpdate', () => {
  test("has macen's defaults, and goes by the name rfc2136 too", async () => {
    const expected = {
      ...{
        name: 'dns',
        type: 'dns01-dnsUpdate',
        challenge: 'dns-01',
        servers: [{ host: '127.0.0.1', port: 53 }],
        ttl: 60,
        timeout: 5_000,
      },
      ...{ zones: [], propagation: 120_000, propagationServers: [], resolvers: [] },
    };
    assert.deepEqual(await load(''), expected);
    assert.deepEqual(await load('', 'rfc2136'), expected);
  });

  test('reads servers by address and by name, with and without a port', async () => {
    const written = [
      '192.0.2.53',
      '192.0.2.53:5353',
      'ns.example.org',
      'ns:53',
      '[2001:db8::53]',
      '[::1]:5353',
      '::1',
    ];
    const { servers } = await load(written.map(one => `dns-server = ${one}`).join('\n'));
    assert.deepEqual(servers, [
      { host: '192.0.2.53', port: 53 },
      { host: '192.0.2.53', port: 5353 },
      { host: 'ns.example.org', port: 53 },
      { host: 'ns', port: 53 },
      { host: '2001:db8::53', port: 53 },
      { host: '::1', port: 5353 },
      { host: '::1', port: 53 },
    ]);
  });

  test('reads a key that is written out', async () => {
    const config = await load(`tsig-name = Acme.\ntsig-algorithm = HMAC-SHA384\ntsig-secret = ${secret}`);
    assert.deepEqual(
      [config.key?.name, config.key?.algorithm, secretOf(config)],
      ['acme', 'hmac-sha384', secret],
    );
    assert.equal((await load(`tsig-name = acme\ntsig-secret = ${secret}`)).key?.algorithm, 'hmac-sha256');
    assert.equal(
      (await load(`tsig-name = a\ntsig-secret = ${secret}\ntsig-algorithm=sha512`)).key?.algorithm,
      'hmac-sha512',
    );
  });

  test('reads a secret from a file beside the configuration', async () => {
    const config = await load('tsig-name = acme\ntsig-secret-file = key.txt');
    assert.deepEqual([config.key?.name, secretOf(config)], ['acme', secret]);
  });

  test("reads all of a key from the file that BIND's tsig-keygen makes", async () => {
    const config = await load('tsig-secret-file = key.conf');
    assert.deepEqual(
      [config.key?.name, config.key?.algorithm, secretOf(config)],
      ['acme.example.org', 'hmac-sha512', secret],
    );
    const other = await load('tsig-secret-file = key.conf\ntsig-name = other\ntsig-algorithm = hmac-sha256');
    assert.deepEqual([other.key?.name, other.key?.algorithm], ['other', 'hmac-sha256']);
  });

  test('hides the secret from whoever prints the configuration', async () => {
    const config = await load(`tsig-name = acme\ntsig-secret = ${secret}`);
    assert.doesNotMatch(JSON.stringify(config), /c2Vjcm|\[115,101/);
  });

  test('reads zones, resolvers and propagation', async () => {
    const config = await load(
      'zone = Example.org.\nzone = example.net\nresolver = 192.0.2.1\nresolver = [::1]:5353\npropagation = 30\npropagation-server = ns2.example.org',
    );
    assert.deepEqual(config.zones, ['example.org', 'example.net']);
    assert.deepEqual(config.resolvers, [
      { host: '192.0.2.1', port: 53 },
      { host: '::1', port: 5353 },
    ]);
    assert.equal(config.propagation, 30_000);
    assert.deepEqual(config.propagationServers, [{ host: 'ns2.example.org', port: 53 }]);
    for (const off of ['off', 'no', '0'])
      assert.equal((await load(`propagation = ${off}`)).propagation, false);
  });

  const refused: [options: string, message: RegExp][] = [
    ['dns-server =', /dns-server: is not a server such as/],
    ['dns-server = 192.0.2.53:0', /dns-server: needs a port from 1 to 65535$/],
    ['dns-server = 192.0.2.53:65536', /dns-server: needs a port/],
    ['dns-server = [192.0.2.53]', /dns-server: has no IPv6 address in its brackets$/],
    ['dns-server = 192.0.2.300', /dns-server: has neither an address nor a host name$/],
    ['dns-server = a, b', /dns-server: has neither an address nor a host name$/],
    ['resolver = ns.example.org', /resolver: is not an address; names are looked up with it$/],
    ['ttl = soon', /ttl: is not a whole number from 0 to 86400$/],
    ['timeout = 0', /timeout: is not a whole number from 1 to 300$/],
    ['propagation = later', /propagation: is neither off nor a number of seconds from 1 to 3600$/],
    ['propagation =', /propagation: is neither off nor a number/],
    [
      'propagation = off\npropagation-server = ns',
      /propagation-server: is never asked, as propagation is off/,
    ],
    ['zone = example..org', /zone: is not a domain name$/],
    ['zone = *.example.org', /zone: is not a domain name$/],
    ['tsig-name = acme', /tsig-name: needs tsig-secret or tsig-secret-file beside it$/],
    ['tsig-algorithm = hmac-sha256', /tsig-algorithm: needs tsig-name and a secret beside it$/],
    [`tsig-secret = ${secret}`, /tsig-secret: needs tsig-name beside it$/],
    ['tsig-secret-file = key.txt', /tsig-secret-file: needs tsig-name beside it$/],
    [`tsig-secret = ${secret}\ntsig-secret-file = key.conf`, /tsig-secret-file: has tsig-secret beside it/],
    [
      `tsig-name = a\ntsig-secret = ${secret}\ntsig-algorithm = hmac-md5`,
      /tsig-algorithm: unknown algorithm; known: hmac-sha256,/,
    ],
    ['tsig-name = a\ntsig-secret = c2VjcmV0!', /tsig-secret: is not base64$/],
    [
      'tsig-name = a\ntsig-secret = c2VjcmV0',
      /tsig-secret: is shorter than 16 bytes: make one with tsig-keygen$/,
    ],
    [
      'tsig-name = a\ntsig-secret-file = nowhere',
      /tsig-secret-file: \S*nowhere cannot be read: no such file or directory: make it, or correct the path$/,
    ],
    ['tsig-name = a\ntsig-secret-file = empty', /tsig-secret-file: \S*empty is empty$/],
    ['tsig-secret-file = key.bad', /tsig-secret-file: \S*key\.bad: unknown algorithm/],
    ['tsig-key = acme', /tsig-key: unknown option; known here: type, dns-server, ttl, timeout, tsig-name/],
  ];
  for (const [options, message] of refused) {
    test(`refuses ${options.replace(/\n/g, ', ').replace(secret, '…')}`, async () => {
      const error = await load(options).then(
        () => assert.fail('was accepted'),
        error => error,
      );
      assert.equal(error.name, 'ConfigError', error.stack);
      assert.match(error.message, /^main\.ini:\d+: \[verification "dns"\] /);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /c2Vjcm|\n/);
    });
  }
});
