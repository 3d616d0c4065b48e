import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type Admission, openAdmission } from '../../shared/admission/admit.ts';
import type { AuthBlockConfig } from '../../shared/admission/auth-section.ts';
import type { Bounds } from '../../shared/admission/bounds.ts';
import { withRates } from '../../shared/admission/rates.ts';
import { blocksForUnusual } from '../../shared/admission/unusual-keys.ts';
import type { IssuanceError } from '../../shared/base/errors.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { toRequest } from '../shared/admission/admission-request.ts';
import { freePort } from '../support/free-port.ts';
import { quietLog } from '../support/quiet-log.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const clock = turnedClock(1_000_000);
const { newStore } = await startOwnRedis();

const blockOf = (name: string, bounds?: Bounds): AuthBlockConfig => ({
  ...{ name, ips: [], all: true, domains: ['*'], addresses: [], verifications: ['http'] },
  ...{ challenges: ['http-01'], storage: 'none', accounts: [{ account: 'default' }] },
  ...(bounds && { bounds }),
});

const hourly = (count: number) => ({ count, period: 3_600_000 });
const refused = { code: 'rateLimited', message: 'too many requests of this client: post again later' };

/** The blocks that refuse, and how they know the client. */
const known = ({ blocks }: IssuanceError) => blocks?.map(({ name, by }) => `${name} by ${by}`);

const open = (blocks: AuthBlockConfig[], store = newStore()) =>
  withRates(openAdmission(blocks), store, { clock, log: quietLog });

/** @returns the names of the blocks that are left for a request */
async function ask(admission: Admission, clientIp = '192.0.2.1'): Promise<string[]> {
  const request = toRequest({ clientIp });
  const blocks = await admission.verified(admission.possible(request), request, Buffer.from('body'));
  return blocks.map(({ name }) => name);
}

suite('rate', () => {
  test('counts each client address of a block, and says when to come again', async () => {
    const admission = open([blockOf('a', { rate: hourly(3) })]);
    for (const _ of [1, 2, 3]) assert.deepEqual(await ask(admission), ['a']);
    const error = await ask(admission).catch(failure => failure);
    assert.deepEqual([error.code, error.message], [refused.code, refused.message]);
    assert.deepEqual(known(error), ['a by all']);
    const wait = error.retryAfter - clock.now();
    assert.ok(wait > 1_000_000 && wait <= 1_300_000, `${wait}`); // a third of an hour
    assert.deepEqual(await ask(admission, '192.0.2.2'), ['a']);
  });

  test('counts a whole block over all of its clients with block-rate, on all intakes', async () => {
    const store = newStore();
    const [one, two] = [1, 2].map(() => open([blockOf('a', { blockRate: hourly(2) })], store));
    assert.ok(one && two);
    await ask(one, '192.0.2.1');
    await ask(two, '192.0.2.2');
    await assert.rejects(ask(one, '192.0.2.3'), refused);
  });

  test('takes nothing of one bucket where the other one is empty', async () => {
    const admission = open([blockOf('a', { rate: hourly(1), blockRate: hourly(2) })]);
    await ask(admission, '192.0.2.1');
    for (const _ of [1, 2, 3]) await assert.rejects(ask(admission, '192.0.2.1'), refused);
    assert.deepEqual(await ask(admission, '192.0.2.2'), ['a']);
  });

  test('leaves out the block whose rate is used up, and goes on with the others', async () => {
    const admission = open([
      blockOf('a', { rate: hourly(1) }),
      blockOf('free'),
      blockOf('b', { rate: hourly(2) }),
    ]);
    assert.deepEqual(await ask(admission), ['a', 'free', 'b']);
    assert.deepEqual(await ask(admission), ['free', 'b']);
    assert.deepEqual(await ask(admission), ['free']);
  });

  test('refuses names that only a block has which was left out as 429, not as denied', async () => {
    const admission = open([
      { ...blockOf('a', { rate: hourly(1) }), domains: ['*.a.example'] },
      { ...blockOf('b'), domains: ['*.b.example'] },
    ]);
    const request = toRequest();
    const admit = async (value: string) => {
      const blocks = await admission.verified(admission.possible(request), request, Buffer.from('body'));
      return admission.admit(blocks, [{ type: 'dns', value }]).name;
    };
    assert.equal(await admit('www.a.example'), 'a');
    const error = await admit('www.a.example').catch(failure => failure);
    assert.deepEqual([error.code, error.message], [refused.code, refused.message]);
    assert.deepEqual(known(error), ['a by all']);
    assert.equal(await admit('www.b.example'), 'b');
    await assert.rejects(admit('www.c.example'), { code: 'denied' });
  });

  test('says the same of a revocation, and of a CSR that only some blocks take', async () => {
    const admission = open([
      { ...blockOf('a', { rate: hourly(1) }), domains: ['*.a.example'] },
      { ...blockOf('b'), domains: ['*.b.example'], accounts: [{ account: 'any', anyKey: true }] },
    ]);
    const request = toRequest();
    const names = [{ type: 'dns' as const, value: 'www.a.example' }];
    await ask(admission);
    const blocks = await admission.verified(admission.possible(request), request, Buffer.from('body'));
    assert.throws(() => admission.holder(blocks, names), refused);
    const able = blocksForUnusual(admission, blocks, names, 'its key is unusual');
    assert.throws(() => admission.admit(able, names), refused);
  });

  test('is that of an IPv6 host, whichever of its addresses it uses', async () => {
    const admission = open([blockOf('a', { rate: hourly(1) })]);
    await ask(admission, '2001:db8::1');
    await assert.rejects(ask(admission, '2001:db8::2:3'), refused);
    assert.deepEqual(await ask(admission, '2001:db8:0:1::1'), ['a']);
  });

  test('counts nobody whom no block has verified', async () => {
    const key = { hmac: { type: 'sha256', keys: ['a key of twenty-one bytes'] }, all: false };
    const admission = open([{ ...blockOf('a', { blockRate: hourly(1) }), ...key }, blockOf('open')]);
    const request = toRequest();
    assert.deepEqual(
      (await admission.verified(admission.possible(request), request, Buffer.from('x'))).map(
        ({ name }) => name,
      ),
      ['open'],
    );
  });

  test('is not counted while Redis is away', async () => {
    const redis = openRedis({ url: `redis://127.0.0.1:${await freePort()}` }, 'impatient', quietLog);
    const admission = open([blockOf('a', { rate: hourly(1) })], { redis, prefix: '{away}' });
    for (const _ of [1, 2]) assert.deepEqual(await ask(admission), ['a']);
    closeRedis(redis);
  });

  test('of no block leaves admission as it is', () => {
    const admission = openAdmission([blockOf('a', { slots: 2 })]);
    assert.equal(withRates(admission, newStore(), { clock, log: quietLog }), admission);
  });
});
