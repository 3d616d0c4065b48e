import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { makeCsr } from '../../soak/csrs.ts';
import { type Answer, ask } from '../../support/ask.ts';
import { assertChain } from '../../support/chain.ts';
import type { Fleet, RoleProcess } from '../../support/fleet.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { sent } from './orders.ts';

/** A clean 503: a line, and when to come back. */
export function assertComeBack({ status, headers, body }: Answer): void {
  assert.equal(status, 503, body);
  assert.match(body, /^[^\n]+\n$/);
  assert.ok(Number(headers['retry-after']) > 0);
}

export const isReady = async (role: RoleProcess) => (await ask(`${role.adminUrl}/readyz`)).status === 200;

/** Shorter than Retry-After says, as a test is in a hurry. Milliseconds. */
const PAUSE = 250;
const MOST_POSTS = 60;

export type PatientClients = {
  /** Waits until so many have their certificates. */
  untilIssued(count: number): Promise<void>;
  /**
   * Waits for all, and looks at each certificate.
   *
   * @returns how many orders the CA was asked to make in vain; for no name more than one
   */
  finish(): Promise<number>;
  /** How many posts were answered 503. */
  readonly refused: number;
};

/**
 * Posts a new name each, some at a time, to each intake in turn; what is answered a clean 503 is sent again
 * once the intake is ready, as a patient host does.
 */
export async function startPatientClients(
  fleet: Fleet,
  { posts, atOnce, domain }: { posts: number; atOnce: number; domain: string },
): Promise<PatientClients> {
  const names = Array.from({ length: posts }, (_, index) => `h${index}.${domain}`);
  const csrs = await Promise.all(names.map(name => makeCsr({ names: [name], refused: false })));
  const waiting = [...csrs.entries()];
  const issued: string[] = [];
  const intakes = fleet.all('intake');
  let refused = 0;

  async function send(csrPem: string, to: RoleProcess | undefined): Promise<string> {
    for (let attempt = 0; attempt < MOST_POSTS; attempt++) {
      const answer = await fleet.post(csrPem, { to });
      if (answer.status === 200) return answer.body;
      assertComeBack(answer);
      refused++;
      await delay(PAUSE);
      await waitUntil('the intake to be ready', () => to !== undefined && isReady(to));
    }
    throw new Error(`no certificate after ${MOST_POSTS} posts`);
  }

  async function runClient(to: RoleProcess | undefined): Promise<void> {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [index, { csrPem }] = next;
      issued[index] = await send(csrPem, to);
    }
  }

  const running = Promise.all(
    Array.from({ length: atOnce }, (_, index) => runClient(intakes[index % intakes.length])),
  );
  running.catch(() => {}); // it is waited for in the end
  const count = () => Object.keys(issued).length;
  return {
    untilIssued: wanted =>
      Promise.race([running, waitUntil(`${wanted} certificates`, () => count() >= wanted)]).then(() => {}),
    async finish() {
      await running;
      const rootPem = await fleet.pebble.rootPem();
      for (const [index, { keyPem, names }] of csrs.entries())
        assertChain(issued[index] ?? '', { names, keyPem, rootPem });
      const inVain = names.map(name => sent(fleet.ca, name, 'newOrder').length - 1);
      assert.ok(
        inVain.every(count => count === 0 || count === 1),
        `${inVain}`,
      );
      return inVain.filter(count => count === 1).length;
    },
    get refused() {
      return refused;
    },
  };
}
