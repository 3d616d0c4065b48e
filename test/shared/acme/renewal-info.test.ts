import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fetchRenewalInfo, renewalInfoId } from '../../../shared/acme/renewal-info.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { decodePem } from '../../../shared/pki/certificate.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { rfc9773Certificate } from '../pki/rfc9773-certificate.ts';
import { type CaAnswer, problem, startFakeCa } from './fake-ca.ts';
import { connect, never } from './open-connection.ts';

const minute = 60_000;
const hour = 60 * minute;
const now = Date.parse('2026-11-01T00:00:00Z');
const id = 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE';
const window = { start: '2026-12-01T00:00:00Z', end: '2026-12-03T00:00:00+02:00' };

/** What becomes of an answer to one question, and which requests were sent. */
async function ask(answer: CaAnswer, directory: Record<string, unknown> = {}) {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl, turnedClock(now));
  ca.on('/dir', () => ({ body: { renewalInfo: `${ca.url}/renewal-info`, ...directory } }));
  ca.on(`/renewal-info/${id}`, () => answer);
  const result = await fetchRenewalInfo(connection, id, never).catch((error: unknown) => error);
  return { result, requests: ca.requests };
}

const withRetryAfter = (value: string) =>
  ask({ headers: { 'Retry-After': value }, body: { suggestedWindow: window } });

test("renewalInfoId() names RFC 9773's example as the RFC does", () => {
  assert.equal(renewalInfoId(rfc9773Certificate), id);
  assert.equal(renewalInfoId(decodePem(rfc9773Certificate, ['CERTIFICATE'])), id);
});

test('fetchRenewalInfo() reads the window, the explanation and when to ask again, by a GET that nobody signs', async () => {
  const explanationURL = 'https://ca.example/why?a=b';
  const body = { suggestedWindow: window, explanationURL };
  const { result, requests } = await ask({ headers: { 'Retry-After': '21600' }, body });
  assert.deepEqual(result, {
    start: Date.parse('2026-12-01T00:00:00Z'),
    end: Date.parse('2026-12-02T22:00:00Z'),
    explanationUrl: explanationURL,
    askAgain: now + 6 * hour,
  });
  assert.deepEqual(
    requests.map(({ method, path, kid }) => [method, path, kid]),
    [
      ['GET', '/dir', undefined],
      ['GET', `/renewal-info/${id}`, undefined],
    ],
  );
});

test('fetchRenewalInfo() finds none, and asks nothing, where the directory names no renewalInfo', async () => {
  const { result, requests } = await ask({}, { renewalInfo: undefined });
  assert.equal(result, undefined);
  assert.equal(requests.length, 1);
});

for (const [retryAfter, pause, why] of [
  ['0', minute, 'a minute'],
  ['59', minute, 'a minute'],
  ['3600', hour, 'as the CA says'],
  ['9999999', 24 * hour, 'a day'],
  ['soon', 6 * hour, 'six hours'],
] as const)
  test(`fetchRenewalInfo() pauses ${why} for Retry-After: ${retryAfter}`, async () => {
    const { result } = await withRetryAfter(retryAfter);
    assert.equal((result as { askAgain: number }).askAgain, now + pause);
  });

for (const [what, answer, code] of [
  [
    'a window that ends before it starts',
    { body: { suggestedWindow: { start: window.end, end: window.start } } },
    'unexpected',
  ],
  [
    'an empty window',
    { body: { suggestedWindow: { start: window.start, end: window.start } } },
    'unexpected',
  ],
  ['times that are no dates', { body: { suggestedWindow: { start: '1', end: '2' } } }, 'unexpected'],
  [
    'a day that does not exist',
    { body: { suggestedWindow: { ...window, end: '2026-12-41T00:00:00Z' } } },
    'unexpected',
  ],
  ['no window', { body: {} }, 'unexpected'],
  ['a list', { body: [] }, 'unexpected'],
  ['a text', { body: 'hello' }, 'unexpected'],
  ['damaged JSON', { headers: { 'Content-Type': 'application/json' }, body: '{' }, 'unexpected'],
  ['404', problem(404, 'malformed', 'no such certificate'), 'gone'],
  ['429', problem(429, 'rateLimited', 'slow down'), 'rateLimited'],
] as const)
  test(`fetchRenewalInfo() says to ask after six hours when the CA answers with ${what}`, async () => {
    const { result } = await ask(answer);
    assert.ok(result instanceof IssuanceError);
    assert.equal(result.code, code);
    assert.equal(result.retryAfter, now + 6 * hour);
  });

test('fetchRenewalInfo() leaves it to the caller how soon to ask a CA again that fails', async () => {
  const { result } = await ask({ status: 503, body: 'down' });
  assert.ok(result instanceof IssuanceError);
  assert.deepEqual([result.code, result.retryAfter], ['unavailable', undefined]);
});

for (const url of [
  'javascript:alert(1)',
  'https://user:secret@ca.example/',
  `https://ca.example/${'x'.repeat(600)}`,
  7,
])
  test(`fetchRenewalInfo() drops an explanation that is no plain web address: ${String(url).slice(0, 40)}`, async () => {
    const { result } = await ask({ body: { suggestedWindow: window, explanationURL: url } });
    assert.equal((result as { start: number }).start, Date.parse(window.start));
    assert.equal('explanationUrl' in (result as object), false);
  });
