import assert from 'node:assert/strict';
import { after, afterEach, suite, test } from 'node:test';
import { ask } from '../support/ask.ts';
import { assertChain } from '../support/chain.ts';
import { makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';
import { waitUntil } from '../support/wait-until.ts';

const fleet = await startFleet({
  roles: ['intake', 'intake', 'worker', 'responder', 'responder'],
  blocks: `[storage "redis"]
type = redis
[storage "none"]
type = none
[auth "redis"]
ip = 127.0.0.1
domain = *.redis.example
storage = redis
[auth "none"]
ip = 127.0.0.1
domain = *.none.example
storage = none
`,
});
after(() => fleet[Symbol.asyncDispose]());
afterEach(() => fleet.letGo());

type Post = Parameters<typeof fleet.post>;

/**
 * Posts as patient hosts do: that many at once may keep a busy intake from its Redis for longer than it
 * waits.
 */
async function post(...args: Post): ReturnType<typeof fleet.post> {
  const answer = await fleet.post(...args);
  return answer.body === 'Redis cannot be reached\n' ? post(...args) : answer;
}

const toEach = (count: number) => Array.from({ length: count }, (_, index) => fleet.all('intake')[index % 2]);

/** How many posts have joined the job of another one, as BullMQ's events tell. */
async function joined(): Promise<number> {
  const events = await fleet.redisClient.xrange('{quarry}:sign:events', '-', '+');
  return events.filter(([, fields]) => fields.includes('deduplicated')).length;
}

suite('identical posts', () => {
  for (const storage of ['none', 'redis']) {
    test(`200 at once over two intakes, storage ${storage}, share one order and one certificate`, async () => {
      const { csrPem, keyPem } = await makeCsr({ names: [`same.${storage}.example`] });
      const orders = fleet.orders();
      const before = await joined();
      const pending = fleet.ca.playPending();
      const posts = toEach(200).map(to => post(csrPem, { to }));
      await waitUntil(
        'all posts to be in before the order can end',
        async () => (await joined()) >= before + 199,
      );
      pending.remove();
      const answers = await Promise.all(posts);
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
      assert.equal(new Set(answers.map(({ body }) => body)).size, 1);
      assert.equal(new Set(answers.map(({ headers }) => headers['x-request-id'])).size, 200);
      assert.equal(fleet.orders(), orders + 1);
      const names = [`same.${storage}.example`];
      assertChain(answers[0]?.body ?? '', { names, keyPem, rootPem: await fleet.pebble.rootPem() });
    });
  }

  test('that come in while an order ends, from a storage, share one order', async () => {
    const { csrPem } = await makeCsr({ names: ['stream.redis.example'] });
    const orders = fleet.orders();
    const statuses: number[] = [];
    let ended = 0;
    const client = async (to: ReturnType<typeof toEach>[number]) => {
      // Two more posts of each after the first certificate is out.
      for (let late = 0; late < 2; ended > 0 ? late++ : late) {
        const { status } = await post(csrPem, { headers: { Prefer: 'wait=1' }, to });
        statuses.push(status);
        if (status === 200) ended++;
      }
    };
    await Promise.all(toEach(20).map(client));
    assert.ok(statuses.every(status => status === 200 || status === 202));
    assert.equal(fleet.orders(), orders + 1);
  });
});

suite('different posts', () => {
  test('of two CSRs for the same name share nothing', async () => {
    const csrs = await Promise.all([1, 2].map(() => makeCsr({ names: ['differ.none.example'] })));
    const orders = fleet.orders();
    const answers = await Promise.all(csrs.map(({ csrPem }) => fleet.post(csrPem)));
    const rootPem = await fleet.pebble.rootPem();
    answers.forEach(({ status, body }, index) => {
      assert.equal(status, 200, body);
      assertChain(body, { names: ['differ.none.example'], keyPem: csrs[index]?.keyPem ?? '', rootPem });
    });
    assert.equal(fleet.orders(), orders + 2);
  });

  test('of 20 hosts at once get a certificate each', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `host${index}.none.example`);
    const csrs = await Promise.all(names.map(name => makeCsr({ names: [name] })));
    const answers = await Promise.all(
      csrs.map(({ csrPem }, index) => fleet.post(csrPem, { to: toEach(20)[index] })),
    );
    const rootPem = await fleet.pebble.rootPem();
    answers.forEach(({ status, body }, index) => {
      assert.equal(status, 200, body);
      assertChain(body, { names: [names[index] ?? ''], keyPem: csrs[index]?.keyPem ?? '', rootPem });
    });
  });
});

suite('two responders, with the worker on the other side of Redis', () => {
  test('both answer every token of an order, with the same key authorization', async () => {
    const seen = fleet.front.asked.length;
    const { csrPem } = await makeCsr({ names: ['a.answers.none.example', 'b.answers.none.example'] });
    assert.equal((await fleet.post(csrPem)).status, 200);
    const asked = fleet.front.asked.slice(seen);
    assert.equal(new Set(asked.map(({ path }) => path)).size, 2, 'a token for each name');
    for (const { path, answers } of asked) {
      const token = path.slice('/.well-known/acme-challenge/'.length);
      assert.equal(answers.length, 2);
      for (const { status, body } of answers) {
        assert.equal(status, 200);
        assert.match(body, new RegExp(`^${token}\\.[\\w-]{43}$`));
      }
      assert.equal(answers[0]?.body, answers[1]?.body);
    }
  });

  test('answer GET and HEAD as bytes while a challenge stands, and 404 once it is withdrawn', async () => {
    const { csrPem } = await makeCsr({ names: ['methods.none.example'] });
    const pending = fleet.ca.playPending();
    const post = fleet.post(csrPem);
    await pending.hit();
    const [key = ''] = await fleet.redisClient.keys('{quarry}:http-01:*');
    const path = `/.well-known/acme-challenge/${key.slice('{quarry}:http-01:'.length)}`;
    for (const { url } of fleet.all('responder')) {
      const [get, head] = [await ask(url + path), await ask(url + path, { method: 'HEAD' })];
      assert.deepEqual([get.status, head.status], [200, 200]);
      assert.equal(get.headers['content-type'], 'application/octet-stream');
      assert.equal(get.body, await fleet.redisClient.get(key));
      assert.deepEqual([head.body, head.headers['content-length']], ['', `${get.body.length}`]);
      assert.equal((await ask(url + path, { method: 'POST', body: '' })).status, 404);
      assert.equal((await ask(`${url}${path}x`)).status, 404);
    }
    pending.remove();
    assert.equal((await post).status, 200);
    for (const { url } of fleet.all('responder'))
      await waitUntil('it to be forgotten', async () => (await ask(url + path)).status === 404);
  });

  test('answer 404 for all that cannot be a token, and read no other key', async () => {
    await fleet.redisClient.set('{quarry}:secret-of-others', 'not for you');
    const paths = ['/', '/sign', '/.well-known/acme-challenge/', '/.well-known/acme-challenge/short'];
    const others = [
      '..%2f..%2fsecret-of-others',
      `${'x'.repeat(600)}`,
      '*****************',
      'a b c d e f g h i j',
    ];
    for (const { url } of fleet.all('responder')) {
      for (const path of [
        ...paths,
        ...others.map(token => `/.well-known/acme-challenge/${encodeURI(token)}`),
      ]) {
        assert.equal((await ask(url + path)).status, 404, path);
      }
    }
  });

  test('go on with one of them when the other is stopped', async () => {
    const [first] = fleet.all('responder');
    assert.equal(await first?.stop(), 0);
    const { csrPem } = await makeCsr({ names: ['one-left.none.example'] });
    assert.equal((await fleet.post(csrPem)).status, 200);
  });
});
