import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renewDue } from '../../services/scheduler/renew-due.ts';
import { toSealed } from '../../shared/admission/hmac.ts';
import { needingRedis, runScript, type Store, toScript } from '../../shared/base/redis.ts';
import { openAccountStates } from '../../shared/ca/account-states.ts';
import { openBreaker } from '../../shared/ca/breaker.ts';
import { openBlockedKeys } from '../../shared/limits/blocked-keys.ts';
import { openBudget } from '../../shared/limits/budget.ts';
import { clearLimit, listLimits } from '../../shared/limits/list-limits.ts';
import { openLimits } from '../../shared/limits/open-limits.ts';
import { openRevokeQueue } from '../../shared/queue/revoke-queue.ts';
import { openNewestIndex } from '../../shared/renewal/newest-index.ts';
import { type ManagedCertificate, openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { openDnsRecords } from '../../shared/solver/dns-records.ts';
import { openChallengeResponses } from '../../shared/solver/http01.ts';
import { openTlsAlpnResponses } from '../../shared/solver/tlsalpn01.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import { keptLog } from '../support/kept-log.ts';
import { quietLog } from '../support/quiet-log.ts';
import { testSeals } from '../support/test-seals.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';
import { csr } from './storage.contract.ts';

// What Redis holds may be anything: each reader names the key, tells nothing of the value, and calls it no
// outage.

const { newStore } = await startOwnRedis();
const clock = turnedClock(Date.now());
const scope = { account: 'default', ca: 'ca.example' };
const names = [{ type: 'dns' as const, value: 'a.example' }];
const rates = { orders: { count: 300, period: 1e7 } } as never;
const holder = { block: 'web', storage: 'kept', names: ['a.example'] };
const SECRET = 'secret';

type Case = {
  /** Damages what is at a key of the store. @returns the key, as it is to be named */
  damage(store: Store): Promise<string>;
  read(store: Store): Promise<unknown>;
};

const set =
  (key: string, value: string) =>
  async ({ redis, prefix }: Store) => {
    await redis.set(`${prefix}:${key}`, value);
    return `${prefix}:${key}`;
  };

const cases: Record<string, Case> = {
  'a limit': {
    damage: set('limit:account/default', `{"detail":"${SECRET}"}`),
    read: store => openLimits(store, scope, clock).standingAgainst(names),
  },
  'a limit, read by an intake': {
    damage: set('limit:account/default', SECRET),
    read: store => needingRedis(() => openLimits(store, scope, clock).standingAgainst(names)),
  },
  'why a key is blocked': {
    damage: set('blocked-key:x', `["${SECRET}"]`),
    read: store => openBlockedKeys(store).find('x'),
  },
  'what is left of a budget': {
    damage: set('budget:account/default', SECRET),
    read: store => openBudget(store, scope, rates, clock).ordersLeft(),
  },
  'what is left of a budget, in a script': {
    damage: set('budget:account/default', SECRET),
    read: store => {
      const claim = { id: 'x', what: 'x', share: undefined, rank: 0, patience: 0 };
      return openBudget(store, scope, rates, clock).takeOrder(names, claim);
    },
  },
  'the state of an account': {
    async damage({ redis, prefix }) {
      await redis.hset(`${prefix}:accounts`, 'default', `12 {"url":7,"x":"${SECRET}"}`);
      return `${prefix}:accounts default`;
    },
    read: store => openAccountStates(store).read('default'),
  },
  'since when a breaker is open': {
    async damage({ redis, prefix }) {
      await redis.hset(`${prefix}:breaker:ca.example`, 'since', SECRET);
      return `${prefix}:breaker:ca.example since`;
    },
    read: store => openBreaker(store, 'ca.example').opened(),
  },
  'a breaker of another type': {
    damage: set('breaker:ca.example', SECRET),
    read: store => openBreaker(store, 'ca.example').admit(),
  },
  'a response to http-01': {
    damage: set('http-01:token', SECRET),
    read: store => openChallengeResponses(store).get('token'),
  },
  'a response to tls-alpn-01': {
    async damage({ redis, prefix }) {
      await redis.zadd(`${prefix}:tls-alpn-01:a.example`, Date.now() * 1_000, SECRET);
      return `${prefix}:tls-alpn-01:a.example`;
    },
    read: store => openTlsAlpnResponses(store, clock).get('a.example'),
  },
  'the place of a record': {
    damage: set('dns-01-place:a.example:v', `a.example example ${SECRET}`),
    read: store => openDnsRecords(store, clock).remove('a.example', 'v'),
  },
  'the newest certificate of a host': {
    async damage(store) {
      await openNewestIndex(store).note(holder, { id: 'x', at: 1 }, false);
      const [key = ''] = await store.redis.keys(`${store.prefix}:renewals:newest:*`);
      await store.redis.set(key, SECRET);
      return key;
    },
    read: store => openNewestIndex(store).find(holder),
  },
  'a renewal': {
    async damage({ redis, prefix }) {
      await redis.hset(`${prefix}:renewals:entries`, 'x', `x\n{"id":"x","certificate":"${SECRET}"}`);
      return `${prefix}:renewals:entries x`;
    },
    read: store => openRenewalIndex(store).read(['x']),
  },
  'when a certificate was fetched': {
    async damage({ redis, prefix }) {
      await redis.hset(`${prefix}:renewals:fetched`, 'x', SECRET);
      return `${prefix}:renewals:fetched x`;
    },
    read: store => openRenewalIndex(store).lastFetches(['x']),
  },
  'how a revocation ended': {
    async damage({ redis, prefix }) {
      const end = {
        name: 'revoke',
        data: '{}',
        opts: '{}',
        timestamp: '1',
        finishedOn: '2',
        returnvalue: JSON.stringify(toSealed(testSeals, 'revoke result x', `"${SECRET}"`)),
      };
      await redis.hset(`${prefix}:revoke:x`, end);
      return `${prefix}:revoke:x returnvalue`;
    },
    async read(store) {
      await using queue = openRevokeQueue({ store, seals: testSeals, clock, log: quietLog });
      return await queue.result('x', AbortSignal.abort());
    },
  },
  'a key of another type, read by an intake': {
    async damage({ redis, prefix }) {
      await redis.lpush(`${prefix}:promise:x`, SECRET);
      return `${prefix}:promise:x`;
    },
    read: ({ redis, prefix }) => needingRedis(() => redis.getdel(`${prefix}:promise:x`)),
  },
};

for (const [what, { damage, read }] of Object.entries(cases))
  test(`${what} that is damaged is named by its key`, async () => {
    const store = newStore();
    const key = await damage(store);
    await assert.rejects(read(store), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'misconfigured', error.stack);
      assert.match(error.message, /^the value of .* in Redis is damaged; delete it to go on without it$/);
      assert.ok(error.message.includes(key), error.message);
      assert.ok(!error.message.includes(SECRET));
      return true;
    });
  });

test('a script that Redis refuses for another reason is not called damage', async () => {
  const { redis } = newStore();
  const refusing = toScript("return redis.error_reply('BUSYGROUP no')");
  await assert.rejects(runScript(redis, refusing, ['x'], []), { name: 'ReplyError', message: /BUSYGROUP/ });
  await assert.rejects(
    needingRedis(async () => redis.call('NONSENSE')),
    { code: 'unavailable' },
  );
});

test('a damaged limit is listed, and can be cleared', async () => {
  const store = newStore();
  const key = await set('limit:account/default', SECRET)(store);
  const [limit, ...more] = await listLimits(store, clock);
  assert.deepEqual([limit?.key, limit?.names, more], ['account/default', [], []]);
  assert.ok(limit?.detail.includes(key) && !limit.detail.includes(SECRET), limit?.detail);
  assert.deepEqual(await clearLimit(store, 'account/default', clock), ['account/default']);
});

test('a damaged entry of a storage counts as absent, and its key is logged', async () => {
  const store = newStore();
  const log = keptLog();
  const config = { name: 'kept', renewWithin: 14, renewAhead: false, keepExpired: 30 };
  const storage = openStorages([{ ...config, type: 'redis' }], { store, clock, log: log.log }).get('kept');
  const key = await set(`storage:kept:${csr.digest}`, `{"csr":7,"chain":"${SECRET}"}`)(store);
  assert.equal(await storage?.get(csr), undefined);
  assert.equal(await storage?.upkeep?.read(csr.digest), undefined);
  assert.deepEqual(
    log.lines.map(line => line.key),
    [key, key],
  );
  assert.doesNotMatch(log.text(), new RegExp(SECRET));
});

test('a damaged renewal keeps no other from being renewed, and is not due again at once', async () => {
  const store = newStore();
  const told: string[] = [];
  const index = openRenewalIndex(store, error => void told.push(error.message));
  const good: ManagedCertificate = {
    ...{ id: 'good', names: ['a.example'], certificate: 'x', named: false, pollFailures: 0 },
    ...{
      notBefore: 0,
      notAfter: 1,
      info: { none: 'there is none' },
      renews: true,
      ahead: true,
      looked: true,
    },
    plan: { at: 0, first: 0, why: 'it is time' },
  };
  await index.add({ ...good, id: 'bad' }, 0);
  await index.add(good, 0);
  await store.redis.hset(`${store.prefix}:renewals:entries`, 'bad', `x\n${SECRET}`);
  const seen: string[] = [];
  const look = async ({ id }: ManagedCertificate) => {
    seen.push(id);
    await index.remove(id);
  };
  for (let run = 0; run < 2; run++) await renewDue({ index, clock }, look, new AbortController().signal);
  assert.deepEqual(seen, ['good']);
  const key = `${store.prefix}:renewals:entries bad`;
  assert.deepEqual(told, [`the value of ${key} in Redis is damaged; delete it to go on without it`]);
});
