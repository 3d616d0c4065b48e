import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Answer } from '../../support/ask.ts';
import { callQuarryWith } from '../../support/call-quarry.ts';
import { makeCsr } from '../../support/csr.ts';
import { type Fleet, type FleetRole, startFleet } from '../../support/fleet.ts';
import { waitUntil } from '../../support/wait-until.ts';

/** A certificate that a client has got: the id of its request, and the SHA-256 of the certificate. */
type Got = { request: string; fingerprint: string };

type Line = { event?: string; request?: string; job?: string; fingerprint?: string };

const fingerprintOf = (chain: string) =>
  new X509Certificate(chain).fingerprint256.replaceAll(':', '').toLowerCase();

/** Clients that post new CSRs, each until it has a certificate, and then again for what is stored. */
function startClients(fleet: Fleet, count: number) {
  const got: Got[] = [];
  let isOver = false;
  let isGivenUp = false;
  let posted = 0;

  /**
   * A client comes again after a 503, and where its connection breaks. A responder that is killed may cost it
   * its proof.
   */
  async function post(csrPem: string): Promise<void> {
    while (!isGivenUp) {
      const answer: Answer | undefined = await fleet.post(csrPem).catch(() => undefined);
      if (answer?.status === 200) {
        const request = String(answer.headers['x-request-id']);
        return void got.push({ request, fingerprint: fingerprintOf(answer.body) });
      }
      if (answer?.status === 421) return;
      assert.ok(answer === undefined || answer.status === 503, answer?.body);
      await new Promise(resolve => setTimeout(resolve, 100));
    }
  }
  async function client(): Promise<void> {
    while (!isOver) {
      const { csrPem } = await makeCsr({ names: [`h${posted++}.trail.example`] });
      for (let time = 0; time < 4; time++) await post(csrPem);
    }
  }

  const clients = Promise.all(Array.from({ length: count }, client));
  clients.catch(() => {}); // it is waited for at the end
  return {
    got,
    ended: clients,
    async end() {
      isOver = true;
      await clients;
    },
    async [Symbol.asyncDispose]() {
      isOver = true;
      isGivenUp = true;
      await clients.catch(() => {});
    },
  };
}

/** The time after which a dead worker's jobs are another's passes at once. */
async function passLockTime({ redisClient }: Fleet): Promise<void> {
  for (const jobId of await redisClient.lrange('{quarry}:sign:active', 0, -1)) {
    await redisClient.sadd('{quarry}:sign:stalled', jobId);
    await redisClient.del(`{quarry}:sign:${jobId}:lock`, '{quarry}:sign:stalled-check');
  }
}

const isTold = (lines: Line[], { request, fingerprint }: Got): boolean => {
  const own = lines.filter(line => line.request === request);
  if (own.some(line => line.event === 'handed-out' && line.fingerprint === fingerprint)) return true;
  const job = own.find(({ event }) => event === 'admitted')?.job;
  return lines.some(
    line =>
      line.event === 'issued' && line.job === job && job !== undefined && line.fingerprint === fingerprint,
  );
};

test('after SIGKILL of every role and of Redis each certificate that a client got is in the sealed trail, once', async t => {
  await using fleet = await startFleet({ roles: [] });
  const trail = join(fleet.dir, 'trail');
  const blocks = `[trail]
dir = ${trail}
[storage "files"]
type = file
directory = ${fleet.dir}/storage/files
[auth "all"]
all = yes
domain = *.example`;
  const roles: FleetRole[] = ['intake', 'worker', 'responder', 'scheduler'];
  for (const role of [...roles, 'responder'] as const) await fleet.start(role, { blocks });

  await using clients = startClients(fleet, 4);
  const more = (count: number) => {
    const enough = clients.got.length + count;
    const waiting = waitUntil(`${count} more certificates`, () => clients.got.length >= enough);
    return Promise.race([waiting, clients.ended]);
  };
  for (const role of roles) {
    t.diagnostic(`${role}: ${clients.got.length} certificates`);
    await more(8);
    await fleet.all(role)[0]?.kill();
    if (role === 'worker') await passLockTime(fleet);
    await fleet.start(role, { blocks });
  }
  await more(8);
  await fleet.redis.kill();
  await fleet.redis.restart();
  await more(8);
  // Once more while it seals, which is most of the time then.
  await fleet.all('scheduler')[0]?.kill();
  await fleet.start('scheduler', { blocks });
  await clients.end();

  const ini = await fleet.ini({ blocks });
  await waitUntil('all events to be sealed', async () => {
    const [newest] = await fleet.redisClient.xrevrange('{quarry}:trail', '+', '-', 'COUNT', 1);
    const cursor = await fleet.redisClient.hget('{quarry}:trail-cursors', 'files');
    return newest?.[0] === cursor;
  });
  const verified = await callQuarryWith(ini, ['trail', 'verify', 'main.ini']);
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  await fleet.redis.stop(); // the files are enough
  const { stdout } = await callQuarryWith(ini, ['trail', 'export', trail]);
  const lines: (Line & { id?: string })[] = stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line));
  assert.ok(clients.got.length >= 48, `${clients.got.length}`);
  assert.deepEqual(
    clients.got.filter(one => !isTold(lines, one)),
    [],
  );
  const ids = lines.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length, 'no event is there twice');
});
