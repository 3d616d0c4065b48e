import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { type Csr, makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';
import { provision } from '../support/provision.ts';
import { tempDir } from '../support/temp-dir.ts';

const { path: directory } = await tempDir();
const shortlived = { shortlived: { description: 'six days', validityPeriod: 6 * 86_400 } };

const fleet = await startFleet({
  pebble: { profiles: shortlived },
  blocks: `[storage "redis"]
type = redis
[storage "file"]
type = file
directory = ${directory}
[storage "none"]
type = none
[auth "redis"]
ip = 127.0.0.1
domain = *.redis.example
storage = redis
[auth "file"]
ip = 127.0.0.1
domain = *.file.example
storage = file
[auth "none"]
ip = 127.0.0.1
domain = *.none.example
storage = none
[auth "neighbour"]
ip = 127.0.0.7
domain = *.neighbour.example
storage = redis
`,
});
after(() => fleet[Symbol.asyncDispose]());

/** What was posted, and how many orders it took. */
async function post(body: string, from?: string) {
  const before = fleet.orders();
  const answer = await fleet.post(body, from ? { from } : {});
  return { ...answer, orders: fleet.orders() - before };
}

const sha384 = (text: string) => createHash('sha384').update(text).digest('hex');
const folderOf = (posted: string) => join(directory, sha384(posted).slice(0, 2), sha384(posted).slice(2));

/** A chain for the CSR as another CA would have issued it, so many days old and with so many left. */
async function issueElsewhere({ csrFile }: Csr, days: { old: number; left: number }): Promise<string> {
  await using work = await tempDir();
  const { openssl } = await provision(['openssl']);
  const run = (...args: string[]) => promisify(execFile)(openssl, args, { cwd: work.path });
  const config =
    '[ca]\ndefault_ca=own\n[own]\ndatabase=index\nnew_certs_dir=.\nserial=serial\npolicy=any\ncopy_extensions=copy\n[any]\n';
  await writeFile(join(work.path, 'ca.cnf'), `${config}commonName=optional\n`);
  await writeFile(join(work.path, 'index'), '');
  await writeFile(join(work.path, 'serial'), '01');
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'ca.key'];
  await run('req', '-x509', ...key, '-subj', '/CN=elsewhere', '-out', 'ca.pem');
  const at = (offset: number) =>
    `${new Date(Date.now() + offset * 86_400_000).toISOString().replace(/[-:T]|\..*/g, '')}Z`;
  const dates = ['-startdate', at(-days.old), '-enddate', at(days.left)];
  const ca = ['-config', 'ca.cnf', '-cert', 'ca.pem', '-keyfile', 'ca.key', '-md', 'sha256'];
  await run('ca', '-batch', '-notext', ...ca, ...dates, '-in', csrFile, '-out', 'leaf.pem');
  const [leaf, issuer] = await Promise.all(
    ['leaf.pem', 'ca.pem'].map(file => readFile(join(work.path, file), 'utf8')),
  );
  return `${leaf?.trim()}\n\n${issuer?.trim()}`;
}

/** An entry as macen writes it: under the hash of what was posted, its chain without a final newline. */
async function storeAsMacen(posted: string, chain: string): Promise<void> {
  const folder = folderOf(posted);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'csr.pem'), posted);
  await writeFile(join(folder, 'cert.pem'), chain);
}

for (const kind of ['redis', 'file']) {
  suite(`storage of type ${kind}`, () => {
    test('answers the second post of a CSR without a new order, also for a life of 6 days and renew-within 14', async () => {
      const { csrPem } = await makeCsr({ names: [`twice.${kind}.example`] });
      const first = await post(csrPem);
      assert.deepEqual([first.status, first.orders], [200, 1], first.body);
      const second = await post(csrPem);
      assert.deepEqual([second.status, second.orders], [200, 0]);
      assert.equal(second.body, first.body);
      assert.equal(second.headers['content-type'], first.headers['content-type']);
    });

    test('finds a CSR again by other line ends, blank lines and text around it', async () => {
      const { csrPem } = await makeCsr({ names: [`spelt.${kind}.example`] });
      const first = await post(csrPem);
      assert.deepEqual([first.status, first.orders], [200, 1]);
      const spellings = {
        'CR LF': csrPem.replaceAll('\n', '\r\n'),
        'no newline at the end': csrPem.trim(),
        'one more newline': `${csrPem}\n`,
        'text around it': `Certificate Request:\n  Data: whatever\n${csrPem}and so on`,
        'blank lines inside': csrPem.replace(/(REQUEST-----\n)(.{64}\n)/, '$1\n$2\n'),
        'other columns': csrPem.replace(/\n(.{10})(.{54}\n)/, '\n$1\n$2'),
      };
      for (const [what, spelling] of Object.entries(spellings)) {
        assert.notEqual(spelling, csrPem);
        const again = await post(spelling);
        assert.deepEqual([again.status, again.orders, again.body], [200, 0, first.body], what);
      }
    });

    test('does not answer another CSR for the same name', async () => {
      const names = [`other.${kind}.example`];
      const [one, two] = [await makeCsr({ names }), await makeCsr({ names })];
      assert.deepEqual((await post(one.csrPem)).orders, 1);
      const second = await post(two.csrPem);
      assert.deepEqual([second.status, second.orders], [200, 1]);
    });

    test('gives nothing to a client whose auth block does not admit the names', async () => {
      const { csrPem } = await makeCsr({ names: [`mine.${kind}.example`] });
      assert.equal((await post(csrPem)).status, 200);
      const stranger = await post(csrPem, '127.0.0.7');
      assert.deepEqual([stranger.status, stranger.orders], [403, 0]);
      assert.equal(
        stranger.body,
        `not admitted: mine.${kind}.example; add it as a domain line to an [auth] block on the server\n`,
      );
    });
  });
}

suite('storage of type none', () => {
  test('orders a new certificate for every post', async () => {
    const { csrPem } = await makeCsr({ names: ['again.none.example'] });
    const [first, second] = [await post(csrPem), await post(csrPem)];
    assert.deepEqual([first.orders, second.orders], [1, 1]);
    assert.notEqual(first.body, second.body);
  });
});

suite("storage of type file in macen's layout", () => {
  test('is written as sha384 of the CSR, two characters, the rest', async () => {
    const { csrPem } = await makeCsr({ names: ['layout.file.example'] });
    const { body } = await post(csrPem);
    assert.equal(await readFile(join(folderOf(csrPem), 'csr.pem'), 'utf8'), csrPem);
    assert.equal(await readFile(join(folderOf(csrPem), 'cert.pem'), 'utf8'), body);
  });

  test('that macen has written is served as it stands', async () => {
    const csr = await makeCsr({ names: ['macen.file.example'], key: 'rsa' });
    const chain = await issueElsewhere(csr, { old: 60, left: 30 });
    await storeAsMacen(csr.csrPem, chain);
    const answer = await post(csr.csrPem);
    assert.deepEqual([answer.status, answer.orders, answer.body], [200, 0, chain]);
  });

  test('that macen has written for a body with text and CR LF around the CSR is served to the same body', async () => {
    const csr = await makeCsr({ names: ['odd.file.example'] });
    const posted = `made by hand\r\n${csr.csrPem.replaceAll('\n', '\r\n')}\r\n`;
    const chain = await issueElsewhere(csr, { old: 1, left: 80 });
    await storeAsMacen(posted, chain);
    const answer = await post(posted);
    assert.deepEqual([answer.status, answer.orders, answer.body], [200, 0, chain]);
  });

  test('is renewed when fewer days are left than renew-within says, and replaced', async () => {
    const csr = await makeCsr({ names: ['stale.file.example'] });
    await storeAsMacen(csr.csrPem, await issueElsewhere(csr, { old: 77, left: 13 }));
    const answer = await post(csr.csrPem);
    // The first is to replace a certificate that Pebble does not know.
    assert.deepEqual([answer.status, answer.orders], [200, 2]);
    assert.match(new X509Certificate(answer.body).issuer, /Pebble/);
    assert.equal(await readFile(join(folderOf(csr.csrPem), 'cert.pem'), 'utf8'), answer.body);
    assert.equal((await post(csr.csrPem)).orders, 0);
  });

  test('with a damaged entry says so in the log and orders', async () => {
    const [csr, foreign] = [
      await makeCsr({ names: ['bad.file.example'] }),
      await makeCsr({ names: ['x.example'] }),
    ];
    const damages = ['', 'no certificate at all', await issueElsewhere(foreign, { old: 1, left: 80 })];
    for (const chain of damages) {
      await storeAsMacen(csr.csrPem, chain);
      const answer = await post(csr.csrPem);
      assert.deepEqual([answer.status, answer.orders], [200, 1], `cert.pem: ${chain}`);
    }
    const told = fleet
      .all('intake')[0]
      ?.log()
      .filter(({ msg, folder }) => folder === folderOf(csr.csrPem) && /damaged/.test(`${msg}`));
    assert.ok(told && told.length >= damages.length);
  });
});
