import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openNoteFetch } from '../../../services/intake/note-fetch.ts';
import { readCsr } from '../../../shared/pki/csr.ts';
import { makeCsr } from '../../shared/pki/openssl-csr.ts';
import { keptLog } from '../../support/kept-log.ts';
import { turnedClock } from '../../support/turned-clock.ts';

const csr = readCsr(Buffer.from(makeCsr({ names: 'DNS:a.example' })));
const block = (name: string) => ({ name, storage: 'kept' }) as never;

function open(fetched: (...what: unknown[]) => Promise<void>) {
  const clock = turnedClock(1_000_000);
  const renewals = { issued: async () => {}, found: async () => {}, revoked: async () => {}, fetched };
  return { clock, noteFetch: openNoteFetch(renewals, { clock, log: keptLog().log }) };
}

test('openNoteFetch() notes what is fetched over and over once an hour, for each auth block', async () => {
  const noted: unknown[] = [];
  const { clock, noteFetch } = open(async (...what) => void noted.push(what));
  for (const name of ['web', 'web', 'mail']) noteFetch(block(name), csr);
  clock.turn(3_600_000);
  noteFetch(block('web'), csr);
  assert.deepEqual(noted, [
    ['kept', csr, 'web', 1_000_000],
    ['kept', csr, 'mail', 1_000_000],
    ['kept', csr, 'web', 4_600_000],
  ]);
});

test('openNoteFetch() tries again at the next fetch when Redis was away', async () => {
  let tries = 0;
  const { noteFetch } = open(async () => {
    if (++tries === 1) throw new Error('Redis is away');
  });
  noteFetch(block('web'), csr);
  await new Promise(setImmediate);
  noteFetch(block('web'), csr);
  assert.equal(tries, 2);
});
