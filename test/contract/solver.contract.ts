import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Identifier } from '../../shared/base/identifier.ts';
import type { ChallengeResponse, Solver } from '../../shared/solver/solver.ts';

/** One solver, opened by two processes, and what a CA sees of it. */
export type OpenedSolver = AsyncDisposable & {
  solver: Solver;
  /** As another process has opened it. */
  other: Solver;
  /** Looks where the CA looks: whether it finds this response's key authorization there. */
  sees(response: ChallengeResponse): Promise<boolean>;
};

/** What a kind can prove and what it cannot. */
export type SolverKind = {
  challengeType: Solver['challengeType'];
  provable: Identifier[];
  unprovable: Identifier[];
  /** Whether a CA can see but one response for a name, so that several have to wait for each other. */
  oneAtATime?: true;
};

let responses = 0;

/** A response as a CA would ask for it; each with a token of its own. */
export function newResponse(name = 'example.org'): ChallengeResponse {
  const token = `${`${++responses}`.padStart(6, '0')}-${'t'.repeat(36)}`;
  return { identifier: { type: 'dns', value: name }, token, keyAuthorization: `${token}.${'k'.repeat(43)}` };
}

/** What every kind of solver has to do (shared/solver/solver.ts). */
export function solverContract(name: string, kind: SolverKind, open: () => Promise<OpenedSolver>): void {
  const { signal } = new AbortController();

  suite(`${name} solver`, () => {
    test('tells its name, its type of challenge and what it can prove', async () => {
      await using opened = await open();
      const { solver } = opened;
      assert.ok(solver.name.length > 0);
      assert.equal(solver.challengeType, kind.challengeType);
      for (const identifier of kind.provable)
        assert.equal(solver.canProve(identifier), true, identifier.value);
      for (const identifier of kind.unprovable)
        assert.equal(solver.canProve(identifier), false, identifier.value);
    });

    test('shows a response once it is presented, and no longer once it is withdrawn', async () => {
      await using opened = await open();
      const response = newResponse();
      assert.equal(await opened.sees(response), false);
      await opened.solver.present(response, signal);
      assert.equal(await opened.sees(response), true);
      await opened.solver.withdraw(response, signal);
      assert.equal(await opened.sees(response), false);
    });

    test('may be asked to present a response twice', async () => {
      await using opened = await open();
      const response = newResponse();
      await opened.solver.present(response, signal);
      await opened.other.present(response, signal);
      assert.equal(await opened.sees(response), true);
      await opened.solver.withdraw(response, signal);
      assert.equal(await opened.sees(response), false);
    });

    test('may be asked to withdraw what was never presented, and to withdraw twice', async () => {
      await using opened = await open();
      const response = newResponse();
      await opened.solver.withdraw(response, signal);
      await opened.solver.present(response, signal);
      for (const solver of [opened.solver, opened.other, opened.solver])
        await solver.withdraw(response, signal);
      assert.equal(await opened.sees(response), false);
    });

    test('presents again what was withdrawn', async () => {
      await using opened = await open();
      const response = newResponse();
      await opened.solver.present(response, signal);
      await opened.solver.withdraw(response, signal);
      await opened.other.present(response, signal);
      assert.equal(await opened.sees(response), true);
      await opened.solver.withdraw(response, signal);
    });

    test('withdraws what another process presented', async () => {
      await using opened = await open();
      const response = newResponse();
      await opened.solver.present(response, signal);
      await opened.other.withdraw(response, signal);
      assert.equal(await opened.sees(response), false);
    });

    if (kind.oneAtATime)
      test('shows one response of a name after the other, and says of the second what it waits for', async () => {
        await using opened = await open();
        const { solver, other, sees } = opened;
        const missing = (response: ChallengeResponse) => solver.propagation?.missing(response, signal);
        const [one, two] = [newResponse(), newResponse()];
        await solver.present(one, signal);
        await other.present(two, signal);
        await solver.present(one, signal);
        assert.deepEqual(await Promise.all([sees(one), sees(two)]), [true, false]);
        assert.equal(await missing(one), undefined);
        assert.match((await missing(two)) ?? '', /^another order for example\.org is being validated$/);
        await other.withdraw(one, signal);
        assert.deepEqual(await Promise.all([sees(one), sees(two)]), [false, true]);
        assert.equal(await missing(two), undefined);
        await solver.withdraw(two, signal);
        assert.equal(await sees(two), false);
      });

    for (const [what, names] of [
      ['of two names', ['a.example.org', 'b.example.org']],
      ...(kind.oneAtATime ? [] : [['of one name', ['example.org', 'example.org']] as const]),
    ] as const)
      test(`keeps two responses ${what} apart, presented and withdrawn at once by two processes`, async () => {
        await using opened = await open();
        const { solver, other, sees } = opened;
        const [one, two] = names.map(newResponse) as [ChallengeResponse, ChallengeResponse];
        await Promise.all([solver.present(one, signal), other.present(two, signal)]);
        assert.deepEqual(await Promise.all([sees(one), sees(two)]), [true, true]);
        await solver.withdraw(one, signal);
        assert.deepEqual(await Promise.all([sees(one), sees(two)]), [false, true]);
        await Promise.all([other.present(one, signal), solver.withdraw(two, signal)]);
        assert.deepEqual(await Promise.all([sees(one), sees(two)]), [true, false]);
        await solver.withdraw(one, signal);
      });

    test('presents many responses at once', async () => {
      await using opened = await open();
      const many = Array.from({ length: 25 }, (_, n) => newResponse(`n${n}.example.org`));
      await Promise.all(many.map(response => opened.solver.present(response, signal)));
      assert.deepEqual([...new Set(await Promise.all(many.map(opened.sees)))], [true]);
      await Promise.all(many.map(response => opened.other.withdraw(response, signal)));
      assert.deepEqual([...new Set(await Promise.all(many.map(opened.sees)))], [false]);
    });
  });
}
