import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rememberLimits } from '../../../services/worker/remember-limits.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import type { Limit } from '../../../shared/limits/limits.ts';
import type { NotifyEvent } from '../../../shared/notify/message.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { calmParts, jobData } from './job-parts.ts';

const detail = 'Your account is paused. Visit: https://portal.example/unpause';

/** What is told when the CA's answer is parked as these limits. */
async function told(...parked: Limit[]): Promise<NotifyEvent[]> {
  const events: NotifyEvent[] = [];
  const { limits, budget } = calmParts('https://ca.example/account/1');
  await rememberLimits(
    {
      ...{ budget, log: quietLog, limits: { ...limits, park: async () => parked } },
      notices: { notify: async event => void events.push(event) },
    },
    jobData,
    new IssuanceError('rateLimited', detail),
    false,
  );
  return events;
}

test('a limit that only a person can end is told, with the way to end it', async () => {
  const names = ['a.example', 'b.example'];
  const said = (key: string) => `${detail} (once that is mended: quarry limits clear ${key} FILE)`;
  assert.deepEqual(await told({ key: 'name/b.example', detail, names }), [
    {
      kind: 'account-paused',
      subject: 'name/b.example',
      names: ['b.example'],
      detail: said('name/b.example'),
    },
  ]);
  assert.deepEqual(await told({ key: 'account/default', detail, names }), [
    { kind: 'account-paused', subject: 'account/default', names, detail: said('account/default') },
  ]);
});

test('a limit that ends by itself is told to nobody', async () => {
  assert.deepEqual(await told({ key: 'name/a.example', until: 1, detail, names: [] }), []);
});
