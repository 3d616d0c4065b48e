import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { AcmeChallenge } from '../../../shared/acme/objects.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { findMissing, type PresentParts, presentChallenges } from '../../../shared/order/challenges.ts';
import type { OrderChallenge } from '../../../shared/order/order-state.ts';
import type { ChallengeResponse, Solver } from '../../../shared/solver/solver.ts';
import { driveThrough, partsFor, type TestParts, taskFor } from './drive.ts';
import { type ScriptedCa, scriptCa } from './scripted-ca.ts';

const initiated = ({ calls }: ScriptedCa) => calls.some(call => call.startsWith('initiate'));

/** Parts whose solver looks for itself where the CA will look, and sees `fault`; and what was warned of. */
function selfChecking(mode: 'warn' | 'require', fault: string | undefined) {
  const ca = scriptCa();
  const warnings: string[] = [];
  let found: string | undefined;
  const look = async () => {
    assert.ok(ca.presented.size === 1 || initiated(ca));
    await setImmediate();
    ca.calls.push('look');
    found = fault;
    return fault;
  };
  const faultOf = async () => found;
  const parts: TestParts = {
    ...partsFor(ca),
    solvers: [{ ...ca.solver, selfCheck: { mode, look, faultOf } }],
    warn: text => void warnings.push(text),
  };
  return { ca, parts, warnings };
}

test('a self-check that is required is waited for, and its fault ends the order before the CA is told', async () => {
  const { ca, parts } = selfChecking('require', 'a.example answers 404');
  await assert.rejects(driveThrough(parts, taskFor('a.example')), {
    code: 'challengeFailed',
    message: 'a.example: a.example answers 404',
  });
  assert.deepEqual([initiated(ca), ca.presented.size], [false, 0]);

  const well = selfChecking('require', undefined);
  await driveThrough(well.parts, taskFor('a.example'));
  const acts = well.ca.calls.filter(call => /^(present|look|initiate)/.test(call));
  assert.deepEqual(acts, ['present a.example', 'look', 'initiate a.example']);
});

test('a self-check that only warns holds nothing up, and tells its fault', async () => {
  const { ca, parts, warnings } = selfChecking('warn', 'a.example answers 404');
  await driveThrough(parts, taskFor('a.example'));
  assert.deepEqual(warnings, ['a.example answers 404']);
  assert.ok(ca.calls.indexOf('look') > ca.calls.indexOf('initiate a.example'));

  const well = selfChecking('warn', undefined);
  await driveThrough(well.parts, taskFor('a.example'));
  assert.deepEqual([well.ca.calls.includes('look'), well.warnings], [true, []]);
});

test('what a CA found wrong stands beside what can be seen from here', async () => {
  for (const [fault, beside] of [
    ['a.example answers 404', ' (a.example answers 404)'],
    [undefined, ''],
  ] as const) {
    const { ca, parts } = selfChecking('warn', fault);
    const { getOrder } = ca;
    ca.getOrder = async url => {
      await setImmediate(); // so long the look takes
      const [authorization] = ca.authorizations;
      const problem = { type: 'urn:ietf:params:acme:error:connection', detail: 'refused' };
      for (const challenge of authorization?.challenges ?? []) challenge.error = problem;
      return { ...(await getOrder(url)), status: 'invalid' };
    };
    const message = `a.example: refused${beside}`;
    await assert.rejects(driveThrough(parts, taskFor('a.example')), { code: 'challengeFailed', message });
  }
});

/** A CA that fails every challenge, and a solver whose look meets a server that never answers. */
function tarpitted(mode: 'warn' | 'require', parts: Partial<TestParts> = {}) {
  const ca = scriptCa();
  const { getOrder } = ca;
  ca.getOrder = async url => {
    const problem = { type: 'urn:ietf:params:acme:error:connection', detail: 'timeout' };
    for (const challenge of ca.authorizations[0]?.challenges ?? []) challenge.error = problem;
    return { ...(await getOrder(url)), status: 'invalid' };
  };
  const warnings: string[] = [];
  const looks: { answer(fault: string | undefined): void; signal: AbortSignal }[] = [];
  const look = (_: ChallengeResponse, signal: AbortSignal) =>
    new Promise<string | undefined>((answer, reject) => {
      looks.push({ answer, signal });
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  const selfCheck = { mode, look, faultOf: async () => undefined };
  const all: TestParts = {
    ...partsFor(ca),
    solvers: [{ ...ca.solver, selfCheck }],
    warn: text => void warnings.push(text),
    ...parts,
  };
  return { ca, parts: all, looks, warnings };
}

test('an order whose name leads to a tarpit ends before the look that would explain it, which tells the log', async () => {
  const looksEnd = new AbortController();
  const { ca, parts, looks, warnings } = tarpitted('warn', { looksEnd: looksEnd.signal });
  const drive = new AbortController();
  await assert.rejects(driveThrough({ ...parts, signal: drive.signal }, taskFor('a.example')), {
    code: 'challengeFailed',
    message: 'a.example: timeout',
  });
  drive.abort(); // as a worker does once the job has ended
  assert.deepEqual([ca.presented.size, warnings], [0, []]);
  const [first, second] = looks;
  assert.deepEqual(
    looks.map(({ signal }) => signal.aborted),
    [false, false],
  );
  first?.answer('a.example does not answer');
  await setImmediate();
  assert.deepEqual(warnings, ['a.example does not answer']);
  looksEnd.abort(); // as SIGTERM does
  assert.ok(second?.signal.aborted);
});

test('a look after a failure is waited for by nobody, even where a look is required before it', async () => {
  const { parts, looks } = tarpitted('require');
  const ended = assert.rejects(driveThrough(parts, taskFor('a.example')), { message: 'a.example: timeout' });
  while (looks.length < 1) await setImmediate();
  looks[0]?.answer(undefined);
  await ended;
  assert.equal(looks.length, 2);
});

const challengeOf = (name: string): OrderChallenge => ({
  identifier: { type: 'dns', value: name },
  url: `https://ca.example/challenge/${name}`,
  token: 'a-token',
  solver: 'http',
  told: false,
});

function partsWith(solver: Partial<Solver>): PresentParts {
  const ca = scriptCa();
  return { acme: ca, solvers: [{ ...ca.solver, ...solver }], signal: new AbortController().signal };
}

test('findMissing() waits for all that can be seen in time, and fails from the deadline on', async () => {
  const missing = async ({ identifier }: ChallengeResponse) =>
    identifier.value === 'a.example' ? undefined : 'ns2 does not show it';
  const parts = partsWith({ propagation: { deadline: 10_000, missing } });
  const both = ['a.example', 'b.example'].map(challengeOf);
  assert.equal(await findMissing(parts, both, 500, 10_499), 'ns2 does not show it');
  await assert.rejects(findMissing(parts, both, 500, 10_500), {
    code: 'challengeFailed',
    message: 'b.example: ns2 does not show it, after 10 s',
  });
  assert.equal(await findMissing(parts, [challengeOf('a.example')], 500, 99_999), undefined);
  assert.equal(await findMissing(partsWith({}), both, 500, 99_999), undefined);
});

test('presentChallenges() waits for every solver also when one fails, and leaves what no solver is there for', async () => {
  const acts: string[] = [];
  const present = async ({ identifier: { value } }: ChallengeResponse) => {
    if (value === 'a.example') throw new IssuanceError('unavailable', 'it cannot be reached');
    await setImmediate();
    acts.push(value);
  };
  const challenges = [
    ...['a.example', 'b.example'].map(challengeOf),
    { ...challengeOf('c'), solver: 'gone' },
  ];
  await assert.rejects(presentChallenges(partsWith({ present }), challenges), /it cannot be reached/);
  assert.deepEqual(acts, ['b.example']);
});

test('dns-persist-01 is presented with whom its record has to name, and other kinds are not', async () => {
  const issuerDomainNames = ['ca.example'];
  const other = 'https://ca.example/account/other';
  for (const [offered, persist] of [
    [{ issuerDomainNames }, { accountUrl: 'https://ca.example/account/1', issuerDomainNames }],
    [
      { issuerDomainNames, accountUrl: other },
      { accountUrl: other, issuerDomainNames },
    ],
    [{}, undefined],
  ] as const) {
    const ca = scriptCa({ offers: ['dns-persist-01'] });
    const challengeType = offered.issuerDomainNames ? 'dns-persist-01' : 'http-01';
    const { getAuthorization } = ca;
    ca.getAuthorization = async url => {
      const authorization = await getAuthorization(url);
      const more = (one: AcmeChallenge): AcmeChallenge =>
        ({
          ...one,
          type: challengeType,
          ...offered,
          ...(offered.issuerDomainNames && { token: '' }),
        }) as AcmeChallenge;
      return { ...authorization, challenges: authorization.challenges.map(more) };
    };
    const presented: unknown[] = [];
    const solver: Solver = {
      ...ca.solver,
      challengeType,
      present: async response => void presented.push(response.persist),
      withdraw: async () => {},
    };
    const parts = { ...partsFor(ca), solvers: [solver] };
    await driveThrough(parts, taskFor('a.example'));
    assert.deepEqual(presented, [persist]);
    const [saved] = parts.saved.filter(({ order }) => order.challenges.length > 0);
    assert.equal(Object.hasOwn(saved?.order.challenges[0] ?? {}, 'persist'), persist !== undefined);
  }
});
