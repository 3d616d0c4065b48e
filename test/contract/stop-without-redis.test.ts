import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { makeCsr } from '../support/csr.ts';
import { freePort } from '../support/free-port.ts';
import { startPebble } from '../support/pebble.ts';
import { startQuarry } from '../support/quarry.ts';
import { startRedis } from '../support/redis.ts';
import { waitUntil } from '../support/wait-until.ts';

const mgmt = `127.0.0.1:${await freePort()}`;
const responder = await freePort();

/** A configuration of all roles. */
const configure = (redisUrl: string, { directoryUrl, caFile }: { directoryUrl: string; caFile: string }) => `
[account]
dir = account
acme-server = ${directoryUrl}
ca-file = ${caFile}
accept-terms-of-service = yes
[mgmt]
listener = ${mgmt}
[verification http]
type = http01
self-check = off
listener = 127.0.0.1:${responder}
[redis]
url = ${redisUrl}
[auth a]
ip = 127.0.0.1
domain = *
[notify chat]
url = http://127.0.0.1:1/
`;

suite('SIGTERM while Redis is away ends with 0', () => {
  for (const role of ['intake', 'worker', 'responder', 'scheduler'] as const)
    test(role, async () => {
      await using redis = await startRedis();
      await using pebble = await startPebble({ httpPort: responder });
      await using quarry = await startQuarry(role, configure(redis.url, pebble));
      await redis.kill();
      await waitUntil(
        'the outage to be noticed',
        async () => (await fetch(`${quarry.adminUrl}/readyz`)).status === 503,
      );
      assert.equal(await quarry.stop(), 0, quarry.output());
    });

  test('all roles, with an order in flight', async () => {
    await using redis = await startRedis();
    const slow = { PEBBLE_VA_NOSLEEP: '0', PEBBLE_VA_SLEEPTIME: '15' };
    await using pebble = await startPebble({ httpPort: responder, env: slow });
    await using quarry = await startQuarry('up', configure(redis.url, pebble));
    const { csrPem } = await makeCsr({ names: ['a.example.org'] });
    const headers = { Prefer: 'respond-async' };
    const answer = await fetch(`http://${mgmt}/sign`, { method: 'POST', body: csrPem, headers });
    assert.equal(answer.status, 202);
    await waitUntil('the order', () => quarry.log().some(({ msg }) => msg === 'order made'));
    await redis.kill();
    await waitUntil(
      'the outage to be noticed',
      async () => (await fetch(`${quarry.adminUrl}/readyz`)).status === 503,
    );
    assert.equal(await quarry.stop(), 0, quarry.output());
  });
});
