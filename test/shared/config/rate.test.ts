import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatRate, parseRate } from '../../../shared/config/rate.ts';

const fail = (reason: string): never => assert.fail(reason);

for (const [written, formatted] of [
  ['60/min', '60/min'],
  ['300/3h', '300/3h'],
  ['10/s', '10/s'],
  ['10 / 90s', '10/90s'],
  ['600/120sec', '600/2min'],
  ['5/168h', '5/7d'],
] as const) {
  test(`a rate of ${written} is formatted as ${formatted}, which says the same`, () => {
    const rate = parseRate(written, fail);
    assert.equal(formatRate(rate), formatted);
    assert.deepEqual(parseRate(formatted, fail), rate);
  });
}
