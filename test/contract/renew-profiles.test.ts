import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { lookAtProfile, type ProfileParts, renewProfile } from '../../services/scheduler/renew-profiles.ts';
import { openBlockedKeys } from '../../shared/limits/blocked-keys.ts';
import type { NotifyEvent } from '../../shared/notify/message.ts';
import { type ManagedCertificate, openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { quietLog } from '../support/quiet-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const day = 24 * 3_600_000;
const start = Date.parse('2026-11-01T00:00:00Z');

const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());
const { path: directory } = stack.use(await tempDir());
const { newStore } = await startOwnRedis();

const clock = turnedClock(start);
const told: NotifyEvent[] = [];
const index = openRenewalIndex(newStore());
const parts: ProfileParts = {
  index,
  blockedKeys: openBlockedKeys(newStore()),
  issuers: { note: async () => {} },
  trail: { write: async () => {} },
  solvers: new Map(),
  cas: new Map(),
  path: [],
  ca: undefined,
  proxy: undefined,
  clock,
  log: quietLog,
  notices: {
    notify: async event => void told.push(event),
    ended: async () => {},
    [Symbol.asyncDispose]: async () => {},
  },
};
const web = { name: 'web', directory, accounts: [], verifications: [] };
const never = new AbortController().signal;

test('a shaman profile that cannot be run at all is told of as one event', async () => {
  const run = () => renewProfile(parts, web, start + day, never);
  await assert.rejects(run(), /shaman\.json: cannot be read: no such file or directory/);
  assert.deepEqual(
    told.splice(0).map(({ kind, subject, names, detail }) => [kind, subject, names, detail]),
    [
      [
        'renewal-failed',
        'profile/web',
        [],
        `${directory}/shaman.json: cannot be read: no such file or directory: make it, or correct the path`,
      ],
    ],
  );
});

test('a certificate of a shaman profile that cannot be read is told of all the same when it ends', async () => {
  await writeFile(join(directory, 'shaman.json'), '{');
  const managed: ManagedCertificate = {
    ...{
      id: 'profile/web/www.example',
      names: ['www.example'],
      certificate: 'x',
      named: false,
      pollFailures: 0,
    },
    ...{ notBefore: start - 88 * day, notAfter: start + 2 * day, info: { none: 'there is none' } },
    plan: { at: start - 20 * day, first: start - 20 * day, why: 'with 22 days left' },
    ...{ renews: true, ahead: true, looked: true },
  };
  await index.add(managed, start);
  await lookAtProfile(parts, [web], managed);
  assert.deepEqual(
    told.splice(0).map(({ kind, subject, daysLeft }) => [kind, subject, daysLeft]),
    [['expires-soon', 'profile/web/www.example', 2]],
  );
  assert.ok((await index.read([managed.id]))[0], 'it is not forgotten');
});
