import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { test } from 'node:test';
import type { Context, Next } from 'koa';
import { createApp } from '../../../services/intake/app.ts';
import { openMetrics } from '../../../shared/base/metrics.ts';
import { listen } from '../../support/listen.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { turnedClock } from '../../support/turned-clock.ts';

test('a request that has begun ends by the routes that it began with, and the next one has the new ones', async () => {
  const begun = Promise.withResolvers<void>();
  const answering = (name: string) => async (ctx: Context, _next: Next) => {
    begun.resolve();
    const chunks: Buffer[] = [];
    for await (const chunk of ctx.req) chunks.push(chunk);
    ctx.body = `${name}: ${Buffer.concat(chunks)}`;
  };
  const routes = { current: answering('old') };
  const refusals = { note: async () => {} };
  const parts = { routes, refusals, clock: turnedClock(0), log: quietLog, metrics: openMetrics() };
  await using server = await listen(createApp(parts).callback());
  const slow = request(`${server.url}/sign`, { method: 'POST' });
  slow.write('first ');
  await begun.promise;
  routes.current = answering('new');
  const other = await fetch(`${server.url}/sign`, { method: 'POST', body: 'quick' });
  assert.equal(await other.text(), 'new: quick');
  slow.end('half');
  const [answer] = await once(slow, 'response');
  assert.equal(Buffer.concat(await answer.toArray()).toString(), 'old: first half');
});
