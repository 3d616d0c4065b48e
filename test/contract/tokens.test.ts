import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openAdmission } from '../../shared/admission/admit.ts';
import type { AuthBlockConfig } from '../../shared/admission/auth-section.ts';
import { openSeals } from '../../shared/admission/hmac.ts';
import { describeUnbound } from '../../shared/admission/refusal.ts';
import { openTokenList } from '../../shared/admission/token-list.ts';
import {
  newToken,
  readBearer,
  tokenBindingKey,
  tokenDigest,
  tokenKey,
  tokenUseKey,
} from '../../shared/admission/token-record.ts';
import type { OneCertificate } from '../../shared/admission/token-types.ts';
import { openJudgeToken } from '../../shared/admission/tokens.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { IssuanceError } from '../../shared/base/errors.ts';
import { parseIdentifier } from '../../shared/base/identifier.ts';
import type { Redis, Store } from '../../shared/base/redis.ts';
import { enqueueOnce } from '../../shared/issue/enqueue-once.ts';
import { withQueueMax } from '../../shared/queue/queue-max.ts';
import type { SignResult } from '../../shared/queue/sign-records.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';
import { chain, openReadyIntakeSide, openWorkerSide, signJob } from './sign-parts.ts';

const { url, newStore } = await startOwnRedis();
const seals = openSeals(Buffer.from('the secret of the installation, at least 32 bytes'));
const start = Date.parse('2026-11-27T12:00:00Z');
const DAY = 86_400_000;

const block = (name: string, rest: Partial<AuthBlockConfig> = {}): AuthBlockConfig => ({
  ...{ name, ips: [], token: true, all: false, domains: ['*.example.org'], addresses: ['192.0.2.0/24'] },
  ...{ verifications: ['http'], challenges: ['http-01', 'dns-01'], storage: 'none' },
  accounts: [{ account: 'default' }],
  ...rest,
});

/** Tokens in a store of their own, and what an intake does with them. */
function open(configs = [block('hosts')], store: Store = newStore()) {
  const clock = turnedClock(start);
  const tokens = openTokenList(store, seals, clock);
  const admission = openAdmission(configs, { judgeToken: openJudgeToken(store, seals, clock) });
  const client = { clientIp: '198.51.100.1', method: 'POST', target: '/sign', claim: undefined };
  async function ask(token: string) {
    const shown = readBearer([`Bearer ${token}`]) ?? { digest: undefined };
    const request = { ...client, token: shown };
    return admission.verified(admission.possible(request), request, Buffer.alloc(0));
  }
  async function askBound(kid: string, madeWith: Buffer) {
    const request = {
      ...client,
      binding: { kid, isMadeWith: (key: string | Buffer) => madeWith.equals(key as Buffer) },
    };
    return admission.verified(admission.possible(request), request, undefined);
  }
  const admitBound = (kid: string, key: Buffer, ...names: string[]) =>
    askBound(kid, key)
      .then(blocks => admission.admit(blocks, names.map(parseIdentifier)))
      .then(
        ({ name, by, bound }) => `${name}: ${by}${bound ? ', bound' : ''}`,
        (error: Error) => error.message,
      );
  async function onceOfBound(digest: string): Promise<OneCertificate> {
    const [admitting] = await askBound(digest, tokenBindingKey(seals, digest));
    assert.ok(admitting?.once);
    return admitting.once;
  }
  /** By what it is admitted, or why not. */
  const admit = (token: string, ...names: string[]) =>
    ask(token)
      .then(blocks => admission.admit(blocks, names.map(parseIdentifier)))
      .then(
        ({ name, by }) => `${name}: ${by}`,
        (error: Error) => error.message,
      );
  async function onceOf(token: string): Promise<OneCertificate> {
    const [admitting] = await ask(token);
    assert.ok(admitting?.once);
    return admitting.once;
  }
  const add = async (more: Partial<Parameters<typeof tokens.add>[0]> = {}) => {
    const wanted = { name: 'web1', block: 'hosts', names: ['web1.example.org'], once: false, ...more };
    return (await tokens.add(wanted)) ?? '';
  };
  return { ...store, clock, tokens, add, admit, onceOf, admitBound, onceOfBound };
}

test('a token narrows the names of its block, and adds none to them', async () => {
  const { add, admit } = open();
  const token = await add({ names: ['web1.example.org', '*.web1.example.org', 'else.example', '192.0.2.7'] });
  assert.match(token, /^quarry_[\w-]{43}$/);
  for (const name of ['web1.example.org', 'a.web1.example.org', '*.web1.example.org', '192.0.2.7'])
    assert.equal(await admit(token, name), 'hosts: token web1', name);
  for (const name of ['web2.example.org', 'else.example', '192.0.2.8', '*.example.org'])
    assert.equal(
      await admit(token, name),
      `not admitted: ${name}; the token or the certificate of this client is for other names`,
    );
  assert.equal(
    await admit(token, 'web1.example.org', 'web2.example.org'),
    'not admitted: web2.example.org; the token or the certificate of this client is for other names',
  );
});

test("an ACME client's account is bound to a token by a key that Redis does not know, and has what the token has", async () => {
  const { add, admitBound, tokens, redis, prefix } = open();
  const digest = tokenDigest(await add());
  const key = tokenBindingKey(seals, digest);
  assert.equal(key.length, 32);
  assert.equal(await admitBound(digest, key, 'web1.example.org'), 'hosts: token web1, bound');
  assert.equal(
    await admitBound(digest, key, 'web2.example.org'),
    'not admitted: web2.example.org; the token or the certificate of this client is for other names',
  );
  const [record] = await redis.mget(tokenKey(prefix, digest));
  assert.ok(record && !record.includes(key.toString('hex')) && !record.includes(key.toString('base64url')));
  await tokens.revoke('web1');
  const revoked = 'the token was revoked at 2026-11-27T12:00:00.000Z';
  assert.equal(await admitBound(digest, key, 'web1.example.org'), revoked);
});

test('of a binding by another key than that of its token nothing is told, as of one by no token', async () => {
  const { add, admitBound } = open();
  const [digest, unknown] = [tokenDigest(await add()), tokenDigest(newToken())];
  const words = describeUnbound({ clientIp: '198.51.100.1' });
  assert.equal(await admitBound(digest, tokenBindingKey(seals, unknown), 'web1.example.org'), words);
  assert.equal(await admitBound(digest, Buffer.from(digest), 'web1.example.org'), words);
  assert.equal(await admitBound(unknown, tokenBindingKey(seals, unknown), 'web1.example.org'), words);
  assert.equal(await admitBound('web1', tokenBindingKey(seals, digest), 'web1.example.org'), words);
});

test('an account that is bound to a one-time token hears what it was used for', async () => {
  const { add, onceOf, onceOfBound } = open();
  const token = await add({ once: true });
  const digest = tokenDigest(token);
  assert.equal((await onceOfBound(digest)).used, undefined);
  const once = await onceOf(token);
  await once.bind({ csr: 'one', job: 'job-1' });
  assert.equal((await onceOfBound(digest)).used?.csr, 'one');
});

test('Redis keeps the hash of a token alone', async () => {
  const { add, redis, prefix } = open();
  const token = await add();
  const keys = await redis.keys(`${prefix.replace(/[{}]/g, '?')}*`);
  assert.ok(keys.includes(tokenKey(prefix, tokenDigest(token))));
  const values = await Promise.all(
    keys.map(async key =>
      (await redis.type(key)) === 'hash' ? await redis.hgetall(key) : await redis.get(key),
    ),
  );
  assert.doesNotMatch(JSON.stringify([keys, values]), new RegExp(token.slice('quarry_'.length)));
});

test('revoking ends a token at once, and an end in time does', async () => {
  const { add, admit, tokens, clock } = open();
  const [one, other] = [await add(), await add({ name: 'web2', until: start + DAY })];
  assert.equal(await admit(other, 'web1.example.org'), 'hosts: token web2');
  assert.equal(await tokens.revoke('web1'), true);
  assert.equal(await admit(one, 'web1.example.org'), 'the token was revoked at 2026-11-27T12:00:00.000Z');
  clock.turn(DAY);
  assert.equal(await admit(other, 'web1.example.org'), 'the token ended at 2026-11-28T12:00:00.000Z');
  assert.equal(await tokens.revoke('web1'), false);
  assert.equal(await tokens.revoke('nobody'), false);
});

test('of a token that nobody was given nothing is told', async () => {
  const { admit } = open();
  const unknown = 'the token is not known';
  for (const token of [newToken(), 'quarry_short', 'ghp_other', '', `${newToken()}x`])
    assert.equal(await admit(token, 'web1.example.org'), unknown);
});

test('a request with a token asks Redis once, however many blocks take tokens, and malformed ones not at all', async () => {
  const store = newStore();
  const asked: string[] = [];
  const counting = new Proxy(store.redis, {
    get(redis, name) {
      const value = Reflect.get(redis, name);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        asked.push(String(name));
        return value.apply(redis, args);
      };
    },
  }) as Redis;
  const configs = [block('one'), block('two'), block('hosts')];
  const { add } = open(configs, store);
  const token = await add();
  const { admit } = open(configs, { ...store, redis: counting });
  assert.equal(await admit(token, 'web1.example.org'), 'hosts: token web1');
  assert.deepEqual(asked, ['mget']);
  await admit('quarry_short', 'web1.example.org');
  assert.deepEqual(asked, ['mget']);
});

test('while Redis cannot be asked, no token is judged: the request is to come again', async () => {
  const store = newStore();
  const away = { mget: () => Promise.reject(new Error('Connection is closed.')) } as unknown as Redis;
  const judge = openJudgeToken({ ...store, redis: away }, seals, turnedClock(start));
  const judged = judge({ digest: tokenDigest(newToken()) }, 'hosts');
  await assert.rejects(judged as Promise<unknown>, (error: IssuanceError) => error.code === 'unavailable');
});

test('a token is good for its own block alone', async () => {
  const { add, admit } = open([block('hosts', { ips: ['203.0.113.1'] }), block('others')]);
  assert.equal(
    await admit(await add(), 'web1.example.org'),
    'no auth block that admits this request takes the token',
  );
});

test('a record that is written into Redis by hand, changed, or put under another key is not believed', async () => {
  const { add, admit, redis, prefix, tokens } = open();
  const [own, genuine] = [newToken(), await add()];
  const [key, kept] = [tokenKey(prefix, tokenDigest(own)), tokenKey(prefix, tokenDigest(genuine))];
  const text = (await redis.get(kept)) ?? '';
  const json = text.slice(text.indexOf(' ') + 1);
  for (const written of [json, ` ${json}`, `${'0'.repeat(64)} ${json}`, text, '{}', ' ', 'x'.repeat(9_000)]) {
    await redis.set(key, written);
    assert.equal(await admit(own, 'web1.example.org'), 'the token is not known', written.slice(0, 20));
  }
  await redis.set(kept, text.replace('web1.example.org', '*.example.org'));
  assert.equal(await admit(genuine, 'web1.example.org'), 'the token is not known');
  await redis.hset(`${prefix}:tokens`, 'forged', tokenDigest(own));
  assert.deepEqual(await tokens.list(), []);
});

test('a name is given to one token at a time, and again once that is over', async () => {
  const { add, admit, tokens, clock } = open();
  const first = await add({ until: start + DAY });
  assert.equal(await add(), '');
  clock.turn(2 * DAY);
  const second = await add();
  assert.equal(await admit(second, 'web1.example.org'), 'hosts: token web1');
  assert.equal(await admit(first, 'web1.example.org'), 'the token is not known');
  const both = await Promise.all([add({ name: 'a' }), add({ name: 'a' })]);
  assert.deepEqual(both.map(Boolean).sort(), [false, true]);
  assert.deepEqual(
    (await tokens.list()).map(({ name }) => name),
    ['a', 'web1'],
  );
});

test('tokens that are over leave the list after thirty days, and nothing of them stays', async () => {
  const { add, tokens, clock, redis, prefix } = open();
  const token = await add();
  await tokens.revoke('web1');
  clock.turn(31 * DAY);
  assert.equal((await tokens.list()).length, 1);
  await add({ name: 'web2' });
  assert.deepEqual(
    (await tokens.list()).map(({ name }) => name),
    ['web2'],
  );
  assert.equal(await redis.exists(tokenKey(prefix, tokenDigest(token))), 0);
});

// One-time tokens, with the real queue and a worker that ends jobs as a test says.

const issued: SignResult = { outcome: 'issued', block: 'hosts', chain };
const failed: SignResult = {
  outcome: 'failed',
  block: 'hosts',
  error: { code: 'challengeFailed', detail: 'x' },
};
const USED = 'the token was for one certificate, and has been used';

async function openOnce(result: SignResult) {
  const opened = open();
  const token = await opened.add({ once: true });
  const intakes = await Promise.all([1, 2].map(() => openReadyIntakeSide(url, opened.prefix)));
  /** Posts a CSR to one of the intakes; the job's id, or why there is none. */
  async function post(csr: string, at = 0): Promise<string> {
    const once = await opened.onceOf(token);
    const queue = intakes[at]?.queue;
    assert.ok(queue);
    const data = { ...signJob(csr), spends: once.digest };
    return enqueueOnce(once, csr, data, queue).catch((error: Error) => {
      assert.ok(error instanceof IssuanceError && error.code === 'denied', String(error));
      return error.message;
    });
  }
  const startWorker = () => openWorkerSide(url, opened.prefix, async () => result);
  const resultOf = (id: string) => intakes[0]?.queue.result(id, AbortSignal.timeout(60_000));
  return {
    ...opened,
    ...{ token, post, startWorker, resultOf, intake: intakes[0] ?? assert.fail() },
    async [Symbol.asyncDispose]() {
      for (const intake of intakes) await intake[Symbol.asyncDispose]();
    },
  };
}

test('a one-time token is spent when its job is made; the same CSR gets the result of that job', async () => {
  await using opened = await openOnce(issued);
  const { post, startWorker, resultOf, tokens } = opened;
  const id = await post('CSR 1');
  assert.equal(await post('CSR 2'), USED);
  assert.equal(await post('CSR 1', 1), id);
  await using worker = startWorker();
  assert.deepEqual(await resultOf(id), issued);
  assert.equal(await post('CSR 1'), id);
  assert.equal(await post('CSR 2'), USED);
  assert.equal(worker.begun.length, 1);
  assert.equal((await tokens.list())[0]?.use?.job, id);
});

test('a job that fails lets its token go, for the same CSR and for another', async () => {
  await using opened = await openOnce(failed);
  const { post, startWorker, resultOf } = opened;
  await using worker = startWorker();
  const first = await post('CSR 1');
  assert.deepEqual(await resultOf(first), failed);
  const second = await post('CSR 2');
  assert.match(second, /^[0-9a-f-]{36}$/);
  assert.deepEqual(await resultOf(second), failed);
  const third = await post('CSR 1');
  assert.deepEqual(await resultOf(third), failed);
  assert.equal(new Set([first, second, third]).size, 3);
  assert.equal(worker.begun.length, 3);
});

test('of two CSRs that two intakes get at once, one is ordered; of two posts of one, one job is made', async () => {
  await using opened = await openOnce(issued);
  const { post, add, onceOf } = opened;
  const answers = await Promise.all([post('CSR 1'), post('CSR 2', 1), post('CSR 3'), post('CSR 4', 1)]);
  assert.equal(answers.filter(answer => answer === USED).length, 3, answers.join());
  await using same = await openOnce(issued);
  const ids = await Promise.all([0, 1, 0, 1].map(at => same.post('CSR 1', at)));
  assert.equal(new Set(ids).size, 1, ids.join());
  assert.match(ids[0] ?? '', /^[0-9a-f-]{36}$/);
  assert.ok(await onceOf(await add({ name: 'other', once: true })));
});

test('an intake that ends between binding and enqueueing costs the token nothing', async () => {
  await using opened = await openOnce(issued);
  const { post, startWorker, resultOf, onceOf, token } = opened;
  const job = '0f8fad5b-d9cb-469f-a165-70867728950e';
  await (await onceOf(token)).bind({ csr: 'CSR 1', job });
  assert.equal(await post('CSR 2'), USED);
  assert.equal(await post('CSR 1'), job);
  await using _ = startWorker();
  assert.deepEqual(await resultOf(job), issued);
});

test("an ACME client's order spends its token by its own job, and joins no job of another order or of a post", async () => {
  await using opened = await openOnce(issued);
  const { onceOf, token, intake, startWorker, resultOf, post } = opened;
  const reserved: string[] = [];
  async function finalize(order: string): Promise<string> {
    const once = await onceOf(token);
    const data = { ...signJob('CSR 1'), spends: once.digest, order };
    return enqueueOnce(once, 'CSR 1', data, intake.queue, async job => {
      reserved.push(job);
      return job;
    }).catch((error: Error) => error.message);
  }
  const job = await finalize('order-1');
  assert.deepEqual(reserved, [job]);
  assert.equal(await finalize('order-2'), USED);
  await using worker = startWorker();
  assert.deepEqual(await resultOf(job), issued);
  assert.equal(await finalize('order-3'), USED);
  assert.equal(await post('CSR 2'), USED);
  assert.deepEqual([reserved.length, worker.begun.length], [1, 1]);
});

test('a post that its block has no place for leaves the token as it was, for the same CSR and for another', async () => {
  await using opened = await openOnce(issued);
  const { onceOf, token, redis, prefix, intake, post } = opened;
  const full = withQueueMax(intake.queue, { redis, prefix }, new Map([['mail', 1]]), systemClock);
  await full.enqueue(signJob());
  const once = await onceOf(token);
  const data = { ...signJob('CSR 1'), spends: once.digest };
  await assert.rejects(enqueueOnce(once, 'CSR 1', data, full), { code: 'rateLimited' });
  assert.match(await post('CSR 2'), /^[0-9a-f-]{36}$/);
});

test('what a second job has bound stays its, however late the intake of a first one that failed notes its end', async () => {
  await using opened = await openOnce(failed);
  const { onceOf, token, redis, prefix, post } = opened;
  const use = { csr: 'CSR 1', job: '0f8fad5b-d9cb-469f-a165-70867728950e' };
  const first = await onceOf(token);
  await first.bind(use);
  await redis.del(tokenUseKey(prefix, tokenDigest(token))); // as the end of its job does
  const second = await post('CSR 2');
  await first.noteEnqueued(use);
  assert.equal(await post('CSR 2'), second);
  assert.equal(await post('CSR 1'), USED);
});

test('a post that its block has no place for takes the token from no post that has bound it', async () => {
  await using opened = await openOnce(issued);
  const { onceOf, token, redis, prefix, intake, post } = opened;
  const full = withQueueMax(intake.queue, { redis, prefix }, new Map([['mail', 1]]), systemClock);
  await full.enqueue(signJob());
  const job = '0f8fad5b-d9cb-469f-a165-70867728950e';
  await (await onceOf(token)).bind({ csr: 'CSR 1', job }); // its intake is about to make the job
  const again = await onceOf(token);
  const data = { ...signJob('CSR 1'), spends: again.digest };
  await assert.rejects(enqueueOnce(again, 'CSR 1', data, full), { code: 'rateLimited' });
  assert.equal(await post('CSR 2'), USED);
  assert.equal(await post('CSR 1'), job);
});

test('once Redis has forgotten the job, the token orders no second certificate', async () => {
  await using opened = await openOnce(issued);
  const { post, startWorker, resultOf, redis, prefix } = opened;
  const id = await post('CSR 1');
  await using worker = startWorker();
  await resultOf(id);
  await redis.del(`${prefix}:result:${id}`);
  assert.equal(await post('CSR 1'), USED);
  assert.equal(worker.begun.length, 1);
});

test('a token that is revoked between the look and the order orders nothing', async () => {
  await using opened = await openOnce(issued);
  const { onceOf, token, tokens, redis, prefix } = opened;
  const once = await onceOf(token);
  await tokens.revoke('web1');
  await assert.rejects(once.bind({ csr: 'CSR 1', job: 'a' }), /^IssuanceError: the token was revoked$/);
  assert.equal(await redis.exists(tokenUseKey(prefix, tokenDigest(token))), 0);
});

test('a use that is written by hand binds nothing, and does not make the token good again', async () => {
  const { add, admit, redis, prefix } = open();
  const token = await add({ once: true });
  await redis.set(tokenUseKey(prefix, tokenDigest(token)), '{"csr":"x","job":"y","at":1,"enqueued":false}');
  assert.match(
    await admit(token, 'web1.example.org'),
    /^the value of .*:token-use:[0-9a-f]{64} in Redis is damaged/,
  );
});
