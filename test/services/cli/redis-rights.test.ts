import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Io } from '../../../services/cli/command.ts';
import { commands } from '../../../services/cli/commands.ts';
import { toSealed } from '../../../shared/admission/hmac.ts';
import { systemClock } from '../../../shared/base/basics.ts';
import { toEntry } from '../../../shared/inventory/entry.ts';
import { openInventoryWriter } from '../../../shared/inventory/writer.ts';
import { parkedKey } from '../../../shared/limits/limits.ts';
import { openWorker } from '../../../shared/queue/bullmq.ts';
import {
  isRevokeJobData,
  REVOKE_QUEUE,
  type RevokeJobData,
  type RevokeResult,
  sealRevokeResult,
} from '../../../shared/queue/revoke-queue.ts';
import { openRenewalIndex } from '../../../shared/renewal/renewal-index.ts';
import { loadConfig } from '../../../shared/setup/load-config.ts';
import { rightsOf, toAclWords } from '../../../shared/setup/redis-acl.ts';
import { startOwnRedis } from '../../contract/own-redis.ts';
import { freePort } from '../../support/free-port.ts';
import { nameOf, openLeafMaker } from '../../support/made-leaves.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testSeals, testSecret } from '../../support/test-seals.ts';
import { waitUntil } from '../../support/wait-until.ts';

// Every command of an operator that asks Redis, by the user that quarry redis-acl prints for it.

const prefix = '{quarry}';
const { url, redis } = await startOwnRedis();
const store = { redis, prefix };
const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());
const [file, passwordFile] = [join(dir.path, 'main.ini'), join(dir.path, 'password')];
const index = openRenewalIndex(store);
const day = 86_400_000;
const clientAccount = 'c0ffee'.repeat(6).slice(4);

before(async () => {
  await mkdir(join(dir.path, 'trail'));
  await writeFile(passwordFile, 'secret');
  await writeFile(join(dir.path, 'installation.key'), testSecret, { mode: 0o600 });
  await writeFile(
    file,
    `[redis]
url = ${url}
user-cli = operator
password-file-cli = ${passwordFile}
[account]
dir = ${dir.path}
acme-server = http://127.0.0.1:9/directory
[verification "http"]
type = http01
listener = 127.0.0.1:${await freePort()}
self-check = warn
[storage "red"]
type = redis
renew-ahead = yes
[auth "web"]
all = yes
domain = *.example.org
share = 50%
[auth "hosts"]
token = yes
domain = *.example.org
[trail]
dir = ${join(dir.path, 'trail')}
`,
  );
  const words = toAclWords('cli', rightsOf('cli', await loadConfig([file], {})));
  await redis.acl('SETUSER', 'operator', 'on', '>secret', ...words);
  const entries = [1, 2].map(number => toEntry(openLeafMaker().make(number), { how: 'post', block: 'web' }));
  const writer = openInventoryWriter(store, error => assert.fail(error));
  await writer.add(entries.map(entry => ({ entry, at: Date.now() })));
  const parked = { code: 'rateLimited', detail: 'x', names: ['a'], until: Date.now() + day };
  await redis.set(parkedKey(store, 'slow/web'), JSON.stringify(parked));
  const record = { id: clientAccount, key: { kty: 'OKP' }, thumbprint: 'x', status: 'valid', contacts: [] };
  const sealed = toSealed(
    testSeals,
    `acme account ${clientAccount}`,
    JSON.stringify({ ...record, created: 0, client: '192.0.2.1' }),
  );
  await redis.set(`${prefix}:acme:account:${clientAccount}`, sealed);
  await redis.zadd(`${prefix}:acme:accounts`, 'inf', clientAccount);
  for (const [number, names] of [['1'], ['www.example.org']].entries()) {
    const at = Date.now() + 60 * day;
    const life = { notBefore: Date.now(), notAfter: Date.now() + 90 * day };
    const plan = { at, first: at, why: 'later' };
    const known = { certificate: 'a.1', named: true, names, renews: true, info: { none: 'not asked' } };
    const id = `stored/red/000${number}`;
    await index.add({ id, ...known, ...life, pollFailures: 0, ahead: true, looked: true, plan }, at);
  }
});

/** A worker and a scheduler that do what they are asked for at once. */
function startFleet(): AsyncDisposable {
  const worker = openWorker<RevokeJobData, string>(
    REVOKE_QUEUE,
    {
      ...{ concurrency: 1, patience: 0, isData: isRevokeJobData },
      async run({ lock, data }) {
        const result: RevokeResult =
          data.operator === 'forget'
            ? { outcome: 'forgotten', storages: [] }
            : { outcome: 'revoked', already: false, account: 'default' };
        return sealRevokeResult(testSeals, lock.jobId, result);
      },
    },
    { redisAddress: { url }, prefix, seals: testSeals, clock: systemClock, log: quietLog },
  );
  return worker;
}

/** What Redis has refused to the operator's user. */
async function refused(): Promise<string[]> {
  const entries = (await redis.acl('LOG')) as unknown[][];
  await redis.acl('LOG', 'RESET');
  return entries.map(entry => entry.join(' '));
}

const cases: [...words: string[]][] = [
  ['ca'],
  ['limits'],
  ['limits', 'clear', 'slow/web'],
  ['keys', 'block', 'a'.repeat(64)],
  ['keys', 'list'],
  ['keys', 'unblock', 'a'.repeat(64)],
  ['token', 'add', '--names', 'web1.example.org', '--once', 'web1'],
  ['token', 'list'],
  ['token', 'revoke', 'web1'],
  ['acme-accounts'],
  ['acme-accounts', 'deactivate', clientAccount],
  ['certificates'],
  ['certificates', '--json', '*.example.org'],
  ['renewals'],
  ['reissue', '--yes', 'www.example.org'],
  ['revoke', '--yes', nameOf(1)],
  ['forget', '--yes', nameOf(2)],
  ['trail', 'show'],
  ['trail', 'export'],
  ['trail', 'restart'],
  ['check'],
];

for (const words of cases)
  test(`quarry ${words.slice(0, 2).join(' ')} does all that it does with the rights of its user`, async () => {
    await using _ = startFleet();
    const written: string[] = [];
    const io: Io = { env: {}, write: text => void written.push(text) };
    const [name = '', ...rest] = words;
    const command = await commands[name]?.();
    const error = await command?.run([...rest, file], io).catch((failure: Error) => failure);
    assert.equal(error, undefined, `${error}`);
    assert.notEqual(written.join(''), '');
    assert.deepEqual(await refused(), []);
  });

test('quarry renew does all that it does with the rights of its user', async () => {
  const written: string[] = [];
  const io: Io = { env: {}, write: text => void written.push(text) };
  const renewing = (await commands.renew?.())?.run(['www.example.org', file], io);
  const read = async () => (await index.read(['stored/red/0001']))[0];
  await waitUntil('the renewal to be wanted', async () => (await read())?.forced !== undefined);
  const managed = await read();
  assert.ok(managed);
  await index.add({ ...managed, certificate: 'a.2' }, Date.now() + day);
  await renewing;
  assert.match(written.join(''), /^renewed: www.example.org/);
  assert.deepEqual(await refused(), []);
});

test('quarry check --probe does all that it does with the rights of its user', async () => {
  const io: Io = { env: {}, write: () => undefined };
  await (await commands.check?.())?.run(['--probe', file], io).catch(() => {}); // no CA, no responder
  assert.deepEqual(await refused(), []);
});
