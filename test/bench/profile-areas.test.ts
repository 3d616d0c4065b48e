import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toProfileTable } from './profile.ts';
import { areaOf, groupByArea, scaleTo } from './profile-areas.ts';

const frame = (url: string, functionName = 'f') => ({ url, functionName });
const ours = (path: string) => frame(`file:///quarry/${path}`);
const pack = (path: string) => frame(`file:///quarry/node_modules/${path}`);
const node = (name: string) => frame(`node:${name}`);

test('a function belongs where it or the nearest of its callers is', () => {
  const areas: [ReturnType<typeof frame>[], string][] = [
    [[node('internal/crypto/sig'), ours('shared/pki/key.ts'), ours('shared/acme/client.ts')], 'JWS'],
    [[node('internal/crypto/sig'), ours('shared/pki/key.ts'), ours('shared/pki/csr.ts')], 'CSR'],
    [[node('_http_client'), ours('shared/acme/connection.ts'), ours('shared/order/drive-order.ts')], 'HTTP'],
    [[node('_tls_wrap'), ours('shared/acme/exchange.ts'), ours('shared/order/drive-order.ts')], 'HTTP'],
    [[ours('shared/acme/read-answer.ts'), ours('shared/acme/exchange.ts')], 'HTTP'],
    [[node('_http_client'), pack('axios/index.js')], 'HTTP'],
    [[node('internal/tls/wrap'), node('internal/streams/readable')], 'HTTP'],
    [[node('internal/abort_controller'), ours('shared/acme/connection.ts')], 'AbortSignal and events'],
    [[ours('shared/pki/der.ts'), ours('shared/pki/certificate.ts')], 'X509'],
    [[pack('asn1js/index.js'), node('internal/process/task_queues')], 'X509'],
    [[ours('shared/order/next-step.ts')], 'order engine and limits'],
    [[ours('shared/admission/hmac.ts'), ours('services/intake/app.ts')], 'admission'],
    [[node('buffer'), pack('koa/lib/application.js'), node('_http_server')], 'HTTP'],
    [[node('_http_server')], 'HTTP'],
    [[node('net'), ours('services/responder/http01-server.ts')], 'HTTP'],
    [[node('net')], 'rest'],
    [[], 'rest'],
  ];
  for (const [stack, area] of areas) assert.equal(areaOf(stack), area, stack.map(({ url }) => url).join(' '));
});

test('a command to Redis is of BullMQ where that sends it, else ours', () => {
  const stack = [node('net'), pack('ioredis/built/Redis.js')];
  assert.equal(areaOf([...stack, pack('bullmq/dist/scripts.js')]), 'BullMQ');
  assert.equal(areaOf([...stack, ours('shared/limits/limits.ts')]), 'our Redis commands');
  assert.equal(areaOf(stack), 'our Redis commands');
});

test('time goes to the area of the function that ran, and idle time to none', () => {
  const profile = {
    nodes: [
      { id: 1, callFrame: frame('', '(root)'), children: [2, 3, 4, 5] },
      { id: 2, callFrame: frame('', '(idle)') },
      { id: 3, callFrame: frame('', '(garbage collector)') },
      { id: 4, callFrame: frame('', '(program)') },
      { id: 5, callFrame: ours('shared/pki/csr.ts'), children: [6] },
      { id: 6, callFrame: node('buffer') },
    ],
    samples: [2, 3, 4, 6, 5, 6],
    timeDeltas: [1_000, 20, 300, 4, 5, -1],
  };
  assert.deepEqual(Object.fromEntries(groupByArea(profile)), {
    'garbage collection': 20,
    'outside JavaScript': 300,
    CSR: 9,
  });
});

test('areas keep their shares where the kernel has counted another time', () => {
  const scaled = scaleTo(
    4,
    new Map([
      ['CSR', 30],
      ['JWS', 10],
    ]),
  );
  assert.deepEqual(
    [...scaled],
    [
      ['CSR', 3],
      ['JWS', 1],
    ],
  );
});

test('the table of a profile has the most expensive area first, and the sum of each tree last', () => {
  const here = new Map([
    ['worker: JWS', 0.3],
    ['Redis', 0.5],
  ]);
  const there = new Map([['worker: JWS', 0.8]]);
  assert.deepEqual(toProfileTable('orders-hot', { here, v1: there }).split('\n'), [
    'orders-hot   here    v1',
    'worker: JWS  0.30  0.80',
    'Redis        0.50  0.00',
    'together     0.80  0.80',
    '',
    'milliseconds of CPU an order',
    '',
  ]);
});
