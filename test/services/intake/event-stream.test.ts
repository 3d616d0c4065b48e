import assert from 'node:assert/strict';
import { type IncomingMessage, request } from 'node:http';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { toEvent } from '../../../services/intake/routes/event-stream.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { newCheckpoint, newOrderState } from '../../../shared/order/next-step.ts';
import type { SavedProgress } from '../../../shared/queue/saved-progress.ts';
import type { Standing } from '../../../shared/queue/standing.ts';
import { heldClock } from '../../support/held-clock.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { chain, hmacBlock, hmacHeader, issued, jobId, loopbackBlock, openIntake } from './open-intake.ts';

const path = `/sign/${jobId}`;
const events = { Accept: 'text/event-stream' };
const held: Standing = { isParked: false, isHeld: true, doing: undefined, saved: undefined };
const queued = (behind: number): Standing => ({ ...held, isHeld: false, behind });

type Stream = {
  answer: IncomingMessage;
  /** What was received so far, without the `retry` that comes first. */
  text(): string;
  /** Resolves with the whole of it once the intake has ended it. */
  ended: Promise<string>;
  leave(): void;
};

/** An intake that knows a job of the block `loopback`, and goes by a clock that a test turns. */
async function openWithJob({ wait = 3_600, stalled = 60_000 } = {}) {
  const clock = heldClock(1_000_000);
  const intake = await openIntake([loopbackBlock, hmacBlock], { wait, clock, stalled });
  intake.queue.blocks.set(jobId, 'loopback');

  async function listen(headers: Record<string, string> = {}, method = 'GET'): Promise<Stream> {
    const asked = request(intake.url + path, { method, headers: { ...events, ...headers } });
    asked.on('error', () => {}); // of one that leaves
    const answer = await new Promise<IncomingMessage>(resolve => asked.on('response', resolve).end());
    let got = '';
    const text = () => got.replace(/^retry: 5000\n\n/, '');
    const ended = new Promise<string>(resolve => answer.on('end', () => resolve(text())));
    answer.setEncoding('utf8').on('data', part => {
      got += part.replace(/x{100,}/g, ''); // of a name that fills what lies between the two
    });
    answer.on('error', () => {});
    return { answer, text, ended, leave: () => asked.destroy() };
  }

  /** Has the look after the next one be made, whatever is waited for. */
  async function lookAgain(): Promise<void> {
    await waitUntil('the pause between events', () => clock.sleeping() === 1);
    clock.turn(1_000);
    await waitUntil('the pause before the next look', () => clock.sleeping() === 1);
    clock.turn(10_000);
    await waitUntil('the pause after that look', () => clock.sleeping() === 1);
  }

  const looks = { made: 0 };
  const { standings } = intake.queue;
  const { read } = standings;
  standings.read = (...asked) => {
    looks.made++;
    return read(...asked);
  };

  const end = (result = issued) => {
    intake.queue.results.set(jobId, result);
    intake.queue.finish();
  };
  return Object.assign(intake, { clock, listen, lookAgain, looks, end });
}

const lines = (text: string) => [...text.matchAll(/^data: (.*)$/gm)].map(([, line]) => line);

/** Waits until so many were told, and compares them. */
async function assertTold(stream: Stream, ...expected: string[]): Promise<void> {
  await waitUntil('the events', () => lines(stream.text()).length >= expected.length);
  assert.deepEqual(lines(stream.text()), expected);
}

test('GET /sign/<id> tells as events what is going on, and ends with the certificate, which the trail hears of first', async () => {
  await using intake = await openWithJob();
  intake.queue.standing.set(jobId, queued(3));
  const stream = await intake.listen();
  const { statusCode, headers } = stream.answer;
  assert.equal(statusCode, 200);
  assert.equal(headers['content-type'], 'text/event-stream; charset=utf-8');
  assert.equal(headers['cache-control'], 'no-store');
  assert.equal(headers['x-accel-buffering'], 'no');
  assert.equal(headers.connection, 'close');
  assert.ok(headers['x-request-id']);
  await intake.lookAgain();
  await assertTold(stream, 'queued behind 3');
  assert.match(stream.text(), /^event: progress\nid: [0-9a-f]{12}\ndata: queued behind 3\n\n$/);
  intake.queue.standing.set(jobId, queued(0));
  await intake.lookAgain();
  intake.queue.standing.set(jobId, held);
  await intake.lookAgain();
  intake.end();
  const text = await stream.ended;
  assert.deepEqual(lines(text).slice(0, 4), [
    ...['queued behind 3', 'next in the queue', 'the order is being made', 'issued'],
  ]);
  const [, last = ''] = text.split('event: certificate\nid: end\n');
  assert.equal(lines(last).join('\n'), chain.trimEnd());
  assert.deepEqual(
    intake.trail.events.map(({ event, job }) => [event, job]),
    [['handed-out', jobId]],
  );
  assert.equal(intake.queue.listening(), 0);
});

test('an event comes at once when a worker tells of a move, but at most one a second, and then the newest', async () => {
  await using intake = await openWithJob();
  intake.queue.standing.set(jobId, queued(3));
  const stream = await intake.listen();
  await waitUntil('the first event', () => stream.text() !== '');
  for (const behind of [2, 1]) {
    intake.queue.standing.set(jobId, queued(behind));
    intake.queue.move(jobId);
  }
  await waitUntil('the pause', () => intake.clock.sleeping() === 1);
  intake.clock.turn(999);
  await setImmediate();
  assert.equal(intake.looks.made, 1);
  intake.clock.turn(1);
  await assertTold(stream, 'queued behind 3', 'queued behind 1');
  stream.leave();
});

test('a state that stays is told once, with a comment every fifteen seconds for proxies', async () => {
  await using intake = await openWithJob();
  intake.queue.standing.set(jobId, queued(101)); // looked at every ten seconds
  const stream = await intake.listen();
  await waitUntil('the first event', () => stream.text() !== '');
  await intake.lookAgain();
  await waitUntil('the comment', () => stream.text().endsWith('data: queued behind 101\n\n:\n\n'));
  stream.leave();
});

test('who comes again with the id of the last event is not told the same once more', async () => {
  await using intake = await openWithJob();
  intake.queue.standing.set(jobId, queued(3));
  const first = await intake.listen();
  await waitUntil('the first event', () => first.text() !== '');
  const [, id = ''] = /^id: (.*)$/m.exec(first.text()) ?? [];
  first.leave();
  await waitUntil('nobody to listen', () => intake.queue.listening() === 0);
  const again = await intake.listen({ 'Last-Event-ID': id });
  await waitUntil('the pause', () => intake.clock.sleeping() === 1);
  intake.queue.standing.set(jobId, queued(2));
  await intake.lookAgain();
  await assertTold(again, 'queued behind 2');
  again.leave();
});

test('who comes again after the end is told by 204 to stay away', async () => {
  await using intake = await openWithJob();
  intake.queue.results.set(jobId, issued);
  const { answer } = await intake.listen({ 'Last-Event-ID': 'end' });
  assert.equal(answer.statusCode, 204);
});

test('the events of a job that failed end with the status, the words and the Retry-After of the plain answer', async () => {
  await using intake = await openWithJob();
  intake.queue.results.set(jobId, {
    ...{ outcome: 'failed', block: 'loopback' },
    error: { code: 'rateLimited', detail: 'too\nmany', retryAfter: intake.clock.now() + 60_000 },
  });
  const stream = await intake.listen();
  assert.equal(
    await stream.ended,
    'event: no-certificate\nid: end\ndata: 429 too many\ndata: Retry-After: 60\n\n',
  );
  assert.match(intake.log.text(), /"status":200.*"reason":"too many"/);
});

for (const [when, act] of [
  ['the wait is over', undefined],
  ['the intake stops', (stopping: AbortController) => stopping.abort()],
] as const)
  test(`events end with a 503 when ${when}, and the client comes again`, async () => {
    await using intake = await openWithJob({ wait: act ? 3_600 : 0 });
    intake.queue.standing.set(jobId, queued(3));
    const stream = await intake.listen();
    if (act) await waitUntil('the first event', () => stream.text() !== '');
    act?.(intake.stopping);
    const text = await stream.ended;
    assert.equal(lines(text)[0], 'queued behind 3');
    const why = act ? 'the server restarts' : 'the certificate is still being worked on';
    const answer = `data: 503 ${why}: post the same CSR again\ndata: Retry-After: 5\n\n`;
    assert.ok(text.endsWith(`retry: 5000\nevent: no-certificate\n${answer}`), text);
    assert.equal(intake.queue.listening(), 0);
  });

test('Redis that goes away is told as what is waited for, and what comes after it, too', async () => {
  await using intake = await openWithJob();
  intake.queue.standing.set(jobId, queued(3));
  const stream = await intake.listen();
  await waitUntil('the first event', () => stream.text() !== '');
  intake.queue.fault = new IssuanceError('unavailable', 'Redis cannot be reached');
  await intake.lookAgain();
  intake.queue.fault = undefined;
  intake.queue.standing.set(jobId, held);
  await intake.lookAgain();
  const away = 'waiting for Redis, which cannot be reached';
  await assertTold(stream, 'queued behind 3', away, 'the order is being made');
  stream.leave();
});

test('a certificate of which the trail cannot be told is not sent', async () => {
  await using intake = await openWithJob();
  intake.trail.fault = new IssuanceError('unavailable', 'Redis cannot be reached');
  intake.queue.results.set(jobId, issued);
  const text = await (await intake.listen()).ended;
  assert.match(text, /^retry: 5000\nevent: no-certificate\ndata: 503 Redis cannot be reached\n/);
  assert.doesNotMatch(text, /CERTIFICATE/);
});

/** More than the system holds between the two. */
const size = 16 * 1024 ** 2;

/** What is saved of an order whose name is to be proven. */
function savedFor(name: string): SavedProgress {
  const challenge = { url: '', token: '', solver: '', told: false };
  const identifier = { type: 'dns', value: name } as const;
  const order = { ...newOrderState(), url: 'an order', challenges: [{ ...challenge, identifier }] };
  return { orders: { account: newCheckpoint(order) }, refusals: [] };
}

test('a client that reads slowly has nothing kept for it: its next event is the newest', async () => {
  await using intake = await openWithJob();
  const saved = savedFor('x'.repeat(size));
  intake.queue.standing.set(jobId, { ...held, saved });
  const stream = await intake.listen();
  stream.answer.pause();
  await waitUntil('the first look', () => intake.looks.made === 1);
  for (const behind of [3, 2, 1]) {
    intake.queue.standing.set(jobId, queued(behind));
    intake.queue.move(jobId);
    intake.clock.turn(10_000);
    await setImmediate();
  }
  assert.equal(intake.looks.made, 1);
  stream.answer.resume();
  await waitUntil('the pause', () => intake.clock.sleeping() === 1);
  await intake.lookAgain();
  await waitUntil('the next event', () => stream.text().endsWith('data: queued behind 1\n\n'));
  assert.equal(stream.text().match(/queued/g)?.length, 1);
  stream.leave();
});

test('a client that reads nothing is let go', async () => {
  await using intake = await openWithJob({ stalled: 50 });
  intake.queue.standing.set(jobId, { ...held, saved: savedFor('x'.repeat(size)) });
  const stream = await intake.listen();
  stream.answer.pause();
  await waitUntil('the first look', () => intake.looks.made === 1);
  await waitUntil('nobody to listen', () => intake.queue.listening() === 0);
});

test('a client that leaves is let go', async () => {
  await using intake = await openWithJob();
  intake.queue.standing.set(jobId, queued(3));
  const stream = await intake.listen();
  await waitUntil('the first event', () => stream.text() !== '');
  stream.leave();
  await waitUntil('nobody to listen', () => intake.queue.listening() === 0);
  assert.equal(intake.queue.waiting, 0);
});

test('HEAD gets the headers of a stream, and no one listens for it', async () => {
  await using intake = await openWithJob();
  const { answer, ended } = await intake.listen({}, 'HEAD');
  assert.deepEqual(
    [answer.statusCode, answer.headers['content-type'], await ended],
    [200, 'text/event-stream; charset=utf-8', ''],
  );
  assert.equal(intake.queue.listening(), 0);
});

for (const Accept of ['*/*', 'text/*', 'text/event-stream;q=0', 'text/plain, text/event-stream;q=0.5'])
  test(`a client that accepts ${Accept} gets the plain answer`, async () => {
    await using intake = await openWithJob();
    intake.queue.results.set(jobId, issued);
    const { answer, ended } = await intake.listen({ Accept });
    assert.deepEqual([answer.statusCode, await ended], [200, chain]);
  });

test('events need what the plain answer needs', async () => {
  await using intake = await openWithJob();
  intake.queue.blocks.set(jobId, 'hmac');
  intake.queue.standing.set(jobId, queued(3));
  for (const headers of [{}, hmacHeader('/sign/another')]) {
    const { answer, ended } = await intake.listen(headers);
    assert.equal(answer.statusCode, 403);
    assert.doesNotMatch(await ended, /queued/);
  }
  const stream = await intake.listen(hmacHeader(path));
  await waitUntil('the first event', () => stream.text() !== '');
  stream.leave();
});

test('the body of a 202 says what is going on, where that is known', async () => {
  await using intake = await openWithJob();
  const get = async () => (await fetch(intake.url + path, { headers: { Prefer: 'wait=0' } })).text();
  assert.equal(await get(), `the certificate is being worked on: fetch ${path}\n`);
  intake.queue.standing.set(jobId, queued(3));
  assert.equal(await get(), `queued behind 3: fetch ${path}\n`);
});

test('toEvent() has each line of its data, however it ends, in a field of its own', () => {
  assert.equal(toEvent('x', 'a\r\nb\rc\n\nd\n'), 'event: x\ndata: a\ndata: b\ndata: c\ndata: \ndata: d\n\n');
});
