import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { joinChain, splitChain } from '../../shared/pki/certificate.ts';
import { callQuarry } from '../support/call-quarry.ts';
import { assertChain } from '../support/chain.ts';
import { listen } from '../support/listen.ts';
import { startPebble } from '../support/pebble.ts';
import { tempDir } from '../support/temp-dir.ts';

const main = join(import.meta.dirname, '../../services/cli/main.ts');
const script = join(import.meta.dirname, 'acme-by-hand/order.sh');

const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());
const { path: dir } = stack.use(await tempDir());
const webroot = join(dir, 'webroot');
await mkdir(webroot);
/** What nginx's `alias` is in concorde's README. */
const server = stack.use(
  await listen((request, response) => {
    const file = join(webroot, basename(request.url ?? ''));
    readFile(file).then(
      body => response.end(body),
      () => response.writeHead(404).end(),
    );
  }),
);
const pebble = stack.use(await startPebble({ httpPort: server.port }));

/** `quarry` as a command on PATH, which is all that a shell needs. */
const bin = join(dir, 'bin');
await mkdir(bin);
await writeFile(join(bin, 'quarry'), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`);
await chmod(join(bin, 'quarry'), 0o755);

const env = {
  ...{ ...process.env, PATH: `${bin}:${process.env.PATH}` },
  ...{ ACME_CAFILE: pebble.caFile, server: pebble.directoryUrl, webroot },
};
const read = (file: string) => readFile(join(dir, file), 'utf8');

// What is said of files is of those in the folder.
const before = process.cwd();
process.chdir(dir);
stack.defer(() => process.chdir(before));

const quarry = (args: string[], more: Record<string, string> = {}) =>
  callQuarry(args, { ACME_CAFILE: pebble.caFile, ...more });

test('a shell drives a whole order with quarry acme alone, from the key to the revoked certificate', async () => {
  await promisify(execFile)('bash', [script], { cwd: dir, env });
  const [account, order] = (await read('ids.txt')).split('\n');

  const [accountLine, ...object] = (await read('acct-status.txt')).split('\n');
  assert.equal(accountLine, `Account: ${account}`);
  assert.deepEqual(JSON.parse(object.join('\n')).contact, ['mailto:admin@example.org']);
  assert.match(await read('acct-status.txt'), /\n\{\n {2}"\w+": .*\n\}\n$/s);
  assert.match(await read('acct-update.txt'), /mailto:ops@example\.org/);
  assert.match(await read('order.txt'), new RegExp(`^Order: ${order}\n\\{\n {2}"status": "pending",\n`));
  assert.match(await read('authz.txt'), /^Authorization: https:.*\n\{\n {2}"status": "/);
  assert.match(await read('validate.txt'), /^Challenge: https:.*\n\{\n {2}"type": "http-01",/);
  assert.match(await read('finalize.txt'), new RegExp(`^Order: ${order}\n\\{\n`));

  const keyPem = await read('example.org.pem');
  const names = ['example.org', 'www.example.org'];
  const sent = await read('chain.pem'); // Pebble puts no line between its certificates
  const chain = joinChain(splitChain(sent));
  assert.equal(sent, chain.replace('\n\n', '\n'));
  const leaf = assertChain(chain, { names, keyPem, rootPem: await pebble.rootPem() });
  assert.equal((await stat(join(dir, 'example.org.pem'))).mode & 0o777, 0o600);

  assert.deepEqual(JSON.parse((await read('list.txt')).replace(/^Orders: https:.*\n/, '')), {
    orders: [order],
  });
  const info = JSON.parse(
    (await read('renewal-info.txt')).replace(/^Renewal information: [\w-]+\.[\w-]+\n/, ''),
  );
  assert.ok(Date.parse(info.suggestedWindow.start) < Date.parse(info.suggestedWindow.end));
  assert.equal(await read('revoke.txt'), `Revoked: ${leaf.serialNumber}\n`);
  assert.equal(await read('revoke-again.txt'), `Revoked already: ${leaf.serialNumber}\n`);
  assert.deepEqual(await pebble.certificateStatus(await read('chain.pem')), { status: 'Revoked', reason: 4 });
  assert.match(await read('rollover.txt'), new RegExp(`^Account: ${account}\n\\{\n`));
  assert.match(await read('old-key.txt'), /^quarry: the CA refused: .*\n$/);
  assert.match(await read('deactivate.txt'), /"status": "deactivated"/);
});

suite('quarry acme says in one line on standard error what is wrong', () => {
  const reg = ['acme', 'reg', 'other.pem', 'https://acme.example/acct/1', pebble.directoryUrl];

  test('and ends with 1 where it is files or the CA', async () => {
    await quarry(['acme', 'key', 'create', 'other.pem']);
    await writeFile(join(dir, 'no-key.pem'), 'no key');
    const unknown = (key: string) => ['acme', 'unreg', key, pebble.directoryUrl, 'status'];
    for (const [args, said] of [
      [['acme', 'key', 'create', 'other.pem'], 'other.pem exists already; it is left as it is'],
      [
        ['acme', 'key', 'create', 'no/a.pem'],
        'no/a.pem cannot be written: no such file or directory: make it, or correct the path',
      ],
      [
        unknown('none.pem'),
        'none.pem cannot be read: no such file or directory: make it, or correct the path',
      ],
      [unknown('no-key.pem'), /^no-key\.pem: not a private key in PEM: /],
      [unknown('other.pem'), 'the CA has no account for this key'],
      [
        ['acme', 'unreg', 'other.pem', `${pebble.directoryUrl}/x`, 'create'],
        /is no ACME directory \(status 404, text\/plain, "404 page not found"\)$/,
      ],
      [[...reg, 'order', 'status', 'https://127.0.0.1:1/x'], /^the CA at 127\.0\.0\.1:1 cannot be reached: /],
      [[...reg, 'order', 'create', 'dns|example.org'], /^the CA refused: /],
      [[...reg, 'cert', 'revoke', 'no-key.pem'], 'no-key.pem: no PEM block "CERTIFICATE" was found'],
    ] as const) {
      const { code, stdout, stderr } = await quarry([...args]);
      assert.deepEqual([code, stdout], [1, ''], args.join(' '));
      const [line = '', ...more] = stderr.split('\n');
      assert.deepEqual(more, [''], stderr);
      if (typeof said === 'string') assert.equal(line, `quarry: ${said}`);
      else assert.match(line.replace(/^quarry: /, ''), said);
    }
  });

  test('and ends with 2 where it is the words', async () => {
    for (const [args, said] of [
      [['acme'], 'more words are needed; see quarry acme --help'],
      [['acme', 'kex'], '"kex" is not known here; see quarry acme --help'],
      [['acme', 'key', 'create'], 'usage: quarry acme key|keys create PATH'],
      [['acme', 'key', 'create', 'a', 'b'], 'usage: quarry acme key|keys create PATH'],
      [[...reg, 'order'], 'more words are needed; see quarry acme --help'],
      [
        [...reg, 'order', 'create', 'example.org'],
        /^give dns\|NAME or ip\|ADDRESS, in quotes, and not "example\.org"$/,
      ],
      [[...reg, 'order', 'status', '7'], /^ORDER-ID is a URL, such as .*, and not "7"$/],
      [[...reg, 'order', 'list', '--contact', 'x'], /^no --contact here; usage: quarry acme reg /],
      [
        [...reg, 'cert', 'revoke', 'x', '--reason', '3'],
        /^--reason is one of unspecified \(0\), .*, and not "3"$/,
      ],
    ] as const) {
      const { code, stdout, stderr } = await quarry([...args]);
      assert.deepEqual([code, stdout], [2, ''], args.join(' '));
      if (typeof said === 'string') assert.equal(stderr, `quarry: ${said}\n`);
      else assert.match(stderr.trimEnd().replace(/^quarry: /, ''), said);
    }
  });
});

suite('quarry acme unreg … create with an external account binding', async () => {
  const hmacKey = 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W';
  const eab = { externalAccountBindingRequired: true, externalAccountMACKeys: { 'kid-1': hmacKey } };
  const bound = stack.use(await startPebble({ httpPort: server.port, config: eab }));
  await quarry(['acme', 'key', 'create', 'bound.pem']);
  await writeFile(join(dir, 'hmac.txt'), `${hmacKey}\n`);
  const create = ['acme', 'unreg', 'bound.pem', bound.directoryUrl, 'create', '--eab-kid', 'kid-1'];

  for (const [where, args, more] of [
    ['a file', ['--eab-hmac-key-file', 'hmac.txt'], {}],
    ['the environment', [], { QUARRY_EAB_HMAC_KEY: hmacKey }],
    ['an option', ['--eab-hmac-key', hmacKey], {}],
  ] as const)
    test(`takes its key from ${where}`, async () => {
      const { code, stdout, stderr } = await quarry([...create, ...args], {
        ACME_CAFILE: bound.caFile,
        ...more,
      });
      assert.deepEqual([code, stderr], [0, '']);
      assert.match(stdout, /^Account: https:/);
    });

  test('says what is missing', async () => {
    const { code, stderr } = await quarry(create, { ACME_CAFILE: bound.caFile });
    assert.equal(code, 2);
    assert.match(stderr, /^quarry: --eab-kid needs --eab-hmac-key-file, .*\n$/);
    await quarry(['acme', 'key', 'create', 'unbound.pem']);
    const unbound = await quarry(['acme', 'unreg', 'unbound.pem', ...create.slice(3, -2)], {
      ACME_CAFILE: bound.caFile,
    });
    assert.equal(unbound.code, 1);
    assert.match(unbound.stderr, /^quarry: the CA refused: .*\n$/);
  });
});
