import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { assertChain } from '../support/chain.ts';
import type { ProxiedRequest } from '../support/fault-proxy.ts';
import {
  type Json,
  leastProfile,
  type ShamanDirectory,
  startShamanGround,
} from '../support/shaman-ground.ts';

const ground = await startShamanGround({
  profiles: { default: { description: '90 days', validityPeriod: 90 * 86_400 } },
});
after(() => ground[Symbol.asyncDispose]());
afterEach(() => ground.ca.clearRules());

const { ca, pebble } = ground;

const prove = { authenticators: { 'http-01': 'prove-challenge' } };
const withDomains = (domains: Record<string, Json>, more: Json = {}) =>
  ground.directory({ ...prove, ...more, domains });

/** Asserts that key and certificate are there, and belong together. */
async function assertIssued(directory: ShamanDirectory, name: string, names = [name]): Promise<string> {
  const [body, keyPem] = await Promise.all(
    [`${name}.cert.pub.pem`, `${name}.key.priv.pem`].map(directory.text),
  );
  const expected = { rootPem: await pebble.rootPem(), keyPem: keyPem ?? '', names };
  assertChain((body ?? '').replaceAll(/-\n-/g, '-\n\n-').trim(), expected);
  return body ?? '';
}

/** What Pebble has done of a kind for a name. */
const done = (kind: ProxiedRequest['kind'], name: string) =>
  ca
    .requests()
    .filter(
      one =>
        one.kind === kind &&
        (one.pebbleStatus ?? 500) < 300 &&
        one.identifiers?.some(({ value }) => value === name),
    ).length;

test("shaman goes from concorde's minimal file to a certificate in one run, with concorde's authenticator behind nginx", async () => {
  const name = 'example.com';
  const directory = await ground.directory({ ...leastProfile(), server: ca.directoryUrl });
  const { code, stdout, stderr } = await ground.run(directory);
  assert.deepEqual([code, stderr], [0, ''], stdout);
  assert.ok(
    stdout.split('\n').every(line => line === '' || /^(INFO|WARNING) \S/.test(line)),
    stdout,
  );

  const files = ['account.key.priv.pem', `${name}.cert.pub.pem`, `${name}.key.priv.pem`];
  assert.deepEqual(
    (await readdir(directory.path)).sort(),
    [...files, 'prove-challenge', 'shaman.json'].sort(),
  );
  const modes = await Promise.all(
    files.map(async file => (await stat(join(directory.path, file))).mode & 0o777),
  );
  assert.deepEqual(modes, [0o600, 0o644, 0o600]);
  const chain = await assertIssued(directory, name);

  const json = await directory.json();
  assert.deepEqual([json.key, json.domains[name]?.key], ['account.key.priv.pem', `${name}.key.priv.pem`]);
  assert.match(`${json.account_id}`, /\/my-account\//);
  assert.match(`${json.domains[name]?.certificate_id}`, /\/certZ\//);
  assert.equal(json.domains[name]?.order_id, undefined);

  ca.reset();
  const again = await ground.run(directory);
  assert.deepEqual([again.code, again.stdout], [0, '']);
  assert.equal(done('newOrder', name), 0);
  assert.equal(await directory.text(`${name}.cert.pub.pem`), chain);
});

for (const side of ['before', 'after'] as const) {
  const when = side === 'before' ? 'before the CA saw it' : 'before its answer came';
  test(`shaman that is killed at any of its requests, ${when}, goes on to one certificate and one order`, async () => {
    for (let nth = 1; ; nth++) {
      const name = `at-${nth}.${side}.example`;
      const directory = await withDomains({ [name]: {} });
      const rule = ca.rule({ nth, do: { hold: side } });
      const { child, ended } = ground.start(directory);
      const held = await Promise.race([rule.hit(), ended.then(() => undefined)]);
      child.kill('SIGKILL');
      await ended;
      rule.remove();
      const where = `killed at request ${nth}, ${held?.kind}`;

      const { code, stdout, stderr } = await ground.run(directory);
      assert.deepEqual([code, stderr], [0, ''], `${where}: ${stdout}`);
      await assertIssued(directory, name);
      const lost = side === 'after' && held?.kind === 'newOrder' ? 1 : 0;
      assert.equal(done('newOrder', name), 1 + lost, where);
      assert.equal(done('finalize', name), 1, where);
      const left = (await readdir(directory.path)).filter(file => /order|tmp/.test(file));
      assert.deepEqual([left, (await directory.json()).domains[name]?.order_id], [[], undefined], where);
      if (!held) return assert.ok(nth > 10, `only ${nth} requests`);
    }
  });
}
