import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { assertChain } from '../support/chain.ts';
import { makeCsr } from '../support/csr.ts';
import { readPage } from '../support/docs.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { runQuarry } from '../support/run-quarry.ts';
import { waitUntil } from '../support/wait-until.ts';

// The page on renewals as a new user reads it, from nothing to renewed certificates.

let fleet: Fleet;
before(async () => {
  fleet = await startFleet({
    roles: [],
    pebble: { profiles: { default: { description: 'the only one', validityPeriod: 90 * 86_400 } } },
  });
});
after(() => fleet[Symbol.asyncDispose]());

function readChapter() {
  const chapter = readPage('renewals.md');
  const blocks = (language: string) =>
    [...chapter.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(
      ([, text = '']) => text,
    );
  return { ini: blocks('ini').join(''), json: blocks('json'), sh: blocks('sh') };
}

test('the page on renewals leads from nothing to renewed certificates', async () => {
  const { ini, json, sh } = readChapter();
  const commands = sh
    .join('')
    .split('\n')
    .map(line => line.replace(/#.*/, '').trim())
    .filter(line => line !== '');
  assert.deepEqual([json.length, commands.length], [1, 4]);

  // Where this user's machine differs from the page's: the CA, and where its files are.
  const here = (text: string) => text.replaceAll('/var/lib/quarry', fleet.dir);
  await mkdir(join(fleet.dir, 'web'));
  await writeFile(
    join(fleet.dir, 'web', 'shaman.json'),
    JSON.stringify({ ...JSON.parse(json[0] ?? ''), server: fleet.ca.directoryUrl }),
  );
  const blocks = `${here(ini)}\n[auth "all"]\nall = yes\ndomain = *.example.org\n`;
  await fleet.start('up', { blocks });
  const config = await fleet.ini({ blocks });
  const run = async (command = '', ...more: string[]) => {
    const [npx, quarry, ...words] = command.split(/\s+/).map(word => word.replaceAll("'", ''));
    assert.deepEqual([npx, quarry], ['npx', 'quarry'], command);
    const ended = await runQuarry([...words, ...more], config);
    assert.deepEqual([ended.code, ended.stderr], [0, ''], command);
    return ended.stdout;
  };

  const { csrPem, keyPem } = await makeCsr({ names: ['www.example.org'] });
  const first = await fleet.post(csrPem);
  assert.equal(first.status, 200, first.body);
  const certificate = join(fleet.dir, 'web', 'web.example.org.cert.pub.pem');
  await waitUntil("the profile's certificate", async () =>
    /^web\.example\.org$/m.test(await run(commands[0])),
  );
  assert.match(await readFile(certificate, 'utf8'), /BEGIN CERTIFICATE/);

  const listed = JSON.parse(await run(commands[1])) as {
    names: string[];
    state: string;
    renewal: string;
    notAfter: string;
  }[];
  assert.deepEqual(listed.map(({ names }) => names[0]).sort(), ['web.example.org', 'www.example.org']);
  for (const { state, renewal, notAfter } of listed) {
    assert.equal(state, 'planned');
    assert.ok(renewal > new Date().toISOString() && renewal < notAfter);
  }

  assert.match(await run(commands[2]), /^renewed: www\.example\.org, valid until 20/);
  const orders = fleet.orders();
  const second = await fleet.post(csrPem);
  assert.notEqual(second.body, first.body);
  assertChain(second.body, { rootPem: await fleet.pebble.rootPem(), keyPem, names: ['www.example.org'] });
  assert.equal(fleet.orders(), orders, 'the post is answered from storage');

  const before = await readFile(certificate, 'utf8');
  assert.match(
    await run(commands[2]?.replace('www.example.org', 'web')),
    /^renewed: web\.example\.org, valid until 20/,
  );
  assert.notEqual(await readFile(certificate, 'utf8'), before);

  const reissued = commands[3]?.replace(/2026-\S+/, '2999-01-01');
  assert.match(await run(reissued, '--yes'), /^2 certificates are to be renewed/);
  const third = async () => (await fleet.post(csrPem)).body;
  await waitUntil('the certificates', async () => (await third()) !== second.body);
});
