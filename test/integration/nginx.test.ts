import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { startNginx } from '../support/nginx.ts';
import { shownBlock } from '../support/pages.ts';

const fleet = await startFleet({ roles: ['intake', 'worker', 'responder', 'responder'] });
const port = await freePort();

/** As the page of http01 shows it, but for addresses and ports. */
function documented(): string {
  const [one = '', other = ''] = fleet.all('responder').map(({ url }) => new URL(url).host);
  return shownBlock('shared/solver/http01.md', 'nginx')
    .replace('192.0.2.13:1380', one)
    .replace('192.0.2.14:1380', other)
    .replace('listen 80', `listen 127.0.0.1:${port}`);
}

const nginx = await startNginx(documented(), port);
after(async () => {
  await nginx[Symbol.asyncDispose]();
  await fleet[Symbol.asyncDispose]();
});
fleet.front.add(`http://127.0.0.1:${port}`);

/** What nginx answered the CA; the front asks the two responders themselves before. */
const behindNginx = () => fleet.front.asked.map(({ answers }) => answers[2]?.status);

test('nginx passes challenges on to the responders, as the page of http01 shows it', async () => {
  const { csrPem } = await makeCsr({ names: ['a.nginx.example', 'b.nginx.example', 'c.nginx.example'] });
  assert.equal((await fleet.post(csrPem)).status, 200);
  assert.ok(behindNginx().length >= 3);
  assert.deepEqual([...new Set(behindNginx())], [200]);
});

test('nginx asks the other responder while one is away', async () => {
  await fleet.all('responder')[0]?.stop();
  const before = behindNginx().length;
  const { csrPem } = await makeCsr({ names: Array.from({ length: 4 }, (_, n) => `n${n}.nginx.example`) });
  assert.equal((await fleet.post(csrPem)).status, 200);
  const answers = behindNginx().slice(before);
  assert.ok(answers.length >= 4);
  assert.deepEqual([...new Set(answers)], [200]);
});
