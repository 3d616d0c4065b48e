import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, beforeEach, suite, test } from 'node:test';
import { acmeAccountsCommand } from '../../../services/cli/acme-accounts.ts';
import { type Account, newAccountId, openAccounts } from '../../../shared/acme-server/accounts.ts';
import { listAccounts } from '../../../shared/acme-server/list-accounts.ts';
import { openTokenList } from '../../../shared/admission/token-list.ts';
import { tokenBindingKey, tokenDigest } from '../../../shared/admission/token-record.ts';
import { systemClock } from '../../../shared/base/basics.ts';
import { parseEntry } from '../../../shared/trail/event.ts';
import { trailKey } from '../../../shared/trail/trail.ts';
import { startOwnRedis } from '../../contract/own-redis.ts';
import { account } from '../../shared/setup/load-text.ts';
import { bindAccount, type EabKey, makeClientKey } from '../../support/acme-jws.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testSeals, testSecret } from '../../support/test-seals.ts';

const { url, redis } = await startOwnRedis();
const store = { redis, prefix: '{quarry}' };
const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());
const [file, secretFile] = [join(dir.path, 'main.ini'), join(dir.path, 'installation.key')];
const start = Date.parse('2026-11-27T12:00:00Z');
const accounts = openAccounts(store, testSeals, { now: () => start });
const tokens = openTokenList(store, testSeals, systemClock);

const web =
  '[auth "web"]\nip = 192.0.2.0/24\nhmac_type = sha256\nhmac_key = the key of the block web\ndomain = a\n';
const hosts = '[auth "hosts"]\ntoken = yes\ndomain = *.example.org\n';

const configure = (blocks: string) =>
  writeFile(
    file,
    `${account}${blocks}[mgmt]\nsecret-file = ${secretFile}\n[acme]\nurl = https://q.example.org/acme\n`,
  );

async function run(...words: string[]): Promise<string> {
  const written: string[] = [];
  const io = { env: { REDIS_URL: url }, write: (text: string) => void written.push(text) };
  await acmeAccountsCommand.run(words, io);
  return written.join('');
}

/** An account that is bound, or that is not. */
async function make(eab?: EabKey, more: Partial<Account> = {}): Promise<string> {
  const { jwk, thumbprint } = makeClientKey();
  const id = newAccountId();
  const jws = eab && bindAccount(eab, 'https://q.example.org/acme/new-account', jwk);
  const made: Account = {
    ...{ id, key: jwk as Account['key'], thumbprint, status: 'valid', contacts: [], created: start },
    client: '198.51.100.7',
    ...(eab && jws && { binding: { kid: eab.kid, jws } }),
    ...more,
  };
  assert.ok(await accounts.create(made, { at: start, event: 'account-made' }));
  return id;
}

/** What is said of one account. */
async function told(id: string): Promise<string> {
  const entries = (await run(file)).split(/\n(?=[0-9a-f])/);
  return entries.find(entry => entry.startsWith(id))?.trimEnd() ?? '';
}

suite('quarry acme-accounts', () => {
  beforeEach(async () => {
    await redis.flushall();
    await writeFile(secretFile, testSecret, { mode: 0o600 });
    await configure(web + hosts);
  });

  test('says by what each account is bound, when it came last, and how many certificates it got', async () => {
    assert.equal(await run(file), 'no ACME client has an account here\n');
    assert.equal(await run('--json', file), '');
    const contacts = ['mailto:a@example.org', 'mailto:b@example.org'];
    const id = await make({ kid: 'web', key: 'the key of the block web' }, { contacts });
    await redis.hincrby(`{quarry}:acme:use:${id}`, 'certificates', 2);
    assert.equal(
      await run(file),
      `${id}  valid, last seen 2026-11-27T12:00:00Z, 2 certificates
    bound to the auth block "web" by hmac key 1
    made 2026-11-27T12:00:00Z from 198.51.100.7
    mailto:a@example.org, mailto:b@example.org
`,
    );
    const shown = JSON.parse(await run('--json', file));
    const { thumbprint } = (await accounts.read(id))?.account ?? {};
    assert.deepEqual(shown, {
      ...{ id, status: 'valid', thumbprint, contacts, client: '198.51.100.7', certificates: 2 },
      ...{ created: '2026-11-27T12:00:00Z', seen: '2026-11-27T12:00:00Z' },
      binding: { kid: 'web', block: 'web', by: 'hmac key 1' },
    });
    assert.match(await told(await make()), /\n {4}no binding: known by its address or certificate\n/);
  });

  test('says that a binding is no more where its key or token is gone', async () => {
    const wanted = { name: 'web1', block: 'hosts', names: ['web1.example.org'], once: false };
    const kid = tokenDigest((await tokens.add(wanted)) ?? '');
    const ofToken = await make({ kid, key: tokenBindingKey(testSeals, kid) });
    const ofBlock = await make({ kid: 'web', key: 'the key of the block web' });
    assert.match(await told(ofToken), /\n {4}bound to the auth block "hosts" by token web1\n/);
    await tokens.revoke('web1');
    assert.match(await told(ofToken), /\n {4}no binding any more to [0-9a-f]{64}: the token was revoked at /);
    await configure(web.replace('the key of', 'another key of') + hosts);
    const gone = /\n {4}no binding any more to web: no auth block or token has its key\n/;
    assert.match(await told(ofBlock), gone);
    const { binding } = JSON.parse(
      (await run('--json', file)).split('\n').find(line => line.includes(ofBlock)) ?? '',
    );
    assert.deepEqual(binding, { kid: 'web', fault: 'no auth block or token has its key' });
  });

  test('lists many accounts in parts, each once, and passes over what bears no seal', async () => {
    const ids = await Promise.all(Array.from({ length: 1_200 }, () => make()));
    await redis.zadd('{quarry}:acme:accounts', 'inf', 'f'.repeat(32));
    await redis.set(`{quarry}:acme:account:${ids[7]}`, 'forged {}');
    const parts: string[] = [];
    const io = { env: { REDIS_URL: url }, write: (text: string) => void parts.push(text) };
    await acmeAccountsCommand.run(['--json', file], io);
    assert.ok(parts.length > 2, `${parts.length}`);
    const listed = parts.join('').trimEnd().split('\n');
    assert.deepEqual(listed.map(line => JSON.parse(line).id).sort(), ids.toSpliced(7, 1).sort());
  });

  test('lists an account once, though Redis may name it twice while its table grows', async () => {
    const id = await make();
    const twice = new Proxy(redis, {
      get: (target, name) =>
        name === 'zscan' ? async () => ['0', [id, '1', id, '1']] : Reflect.get(target, name).bind(target),
    });
    const ids: string[] = [];
    for await (const part of listAccounts({ ...store, redis: twice }, accounts))
      ids.push(...part.map(one => one.id));
    assert.deepEqual(ids, [id]);
  });

  test('deactivates an account for good, which the trail tells', async () => {
    const id = await make();
    assert.equal(await run('deactivate', id, file), `deactivated: ${id}\n`);
    assert.equal((await accounts.read(id))?.account.status, 'deactivated');
    assert.match(await told(id), new RegExp(`^${id} {2}deactivated, `));
    const entries = await redis.xrange(trailKey(store.prefix), '-', '+');
    const event = entries.flatMap(([at, fields]) => parseEntry(at, fields)).at(-1)?.event;
    assert.deepEqual([event?.event, event?.detail], ['operator', `acme-accounts deactivate ${id}`]);
    assert.equal(await run('deactivate', id, file), `deactivated already: ${id}\n`);
    const other = newAccountId();
    const message = `there is no account ${other}; quarry acme-accounts has those that are`;
    await assert.rejects(run('deactivate', other, file), { message });
    for (const words of [['deactivate', file], ['deactivate', 'web', file], ['deactivate', id], []])
      await assert.rejects(run(...words), { name: 'UsageError' });
    await assert.rejects(run('deactivate', '--json', id, file), { name: 'UsageError' });
  });
});
