import assert from 'node:assert/strict';
import { type Answer, type AskOptions, ask } from '../../support/ask.ts';
import { assertChain } from '../../support/chain.ts';
import { type Csr, makeCsr } from '../../support/csr.ts';
import type { FaultProxy, Kind, ProxiedRequest } from '../../support/fault-proxy.ts';
import type { Fleet, RoleProcess } from '../../support/fleet.ts';
import { waitUntil } from '../../support/wait-until.ts';

/**
 * Whether a request is of an order that has this name in it: with a name each, many orders share one fleet.
 */
export const about =
  (name: string) =>
  ({ identifiers = [] }: ProxiedRequest): boolean =>
    identifiers.some(({ value }) => value === name);

/** What the CA was sent for the orders with this name in them, whatever became of it. */
export function sent(ca: FaultProxy, name: string, kind?: Kind): ProxiedRequest[] {
  return ca
    .requests()
    .filter(request => about(name)(request) && (kind === undefined || request.kind === kind));
}

/** Of these requests, those that Pebble itself has got: others ended in the proxy. */
export const reached = (requests: ProxiedRequest[]): ProxiedRequest[] =>
  requests.filter(({ pebbleStatus }) => pebbleStatus !== undefined);

/** A post under way, and what its answer is held against. */
export type Post = Csr & { names: string[]; answer: Promise<Answer> };

/** Posts a new CSR for these names. */
export async function post(
  fleet: Fleet,
  names: string[],
  options?: AskOptions & { to?: RoleProcess | undefined },
): Promise<Post> {
  const csr = await makeCsr({ names });
  return { ...csr, names, answer: fleet.post(csr.csrPem, options) };
}

export const postEach = (fleet: Fleet, names: string[]): Promise<Post[]> =>
  Promise.all(names.map(name => post(fleet, [name])));

/** Waits for the answers: each is a certificate for its own key and names. */
export async function assertIssued(fleet: Fleet, posts: Post[]): Promise<void> {
  const answers = await Promise.all(posts.map(({ answer }) => answer));
  const rootPem = await fleet.pebble.rootPem();
  for (const [index, { names, keyPem }] of posts.entries()) {
    const { status = 0, body = '' } = answers[index] ?? {};
    assert.equal(status, 200, `${names}: ${body}`);
    assertChain(body, { names, keyPem, rootPem });
  }
}

/** Waits until no job holds a slot of this worker. */
export async function untilIdle(worker: RoleProcess): Promise<void> {
  await waitUntil('the worker to hold no job', async () =>
    /^quarry_worker_jobs_running 0$/m.test((await ask(`${worker.adminUrl}/metrics`)).body),
  );
}

/** What is presented to the CA now: the keys in Redis. */
export const presented = (fleet: Fleet): Promise<string[]> => fleet.redisClient.keys('{quarry}:http-01:*');

export const told = (role: RoleProcess, text: string) => role.log().filter(({ msg }) => msg === text);

/** A worker tells of a certificate once its result is written: a client may have the certificate before. */
export async function assertIssuedBy(worker: RoleProcess, count: number, why?: string): Promise<void> {
  const lines = () => told(worker, 'certificate issued');
  await waitUntil('the worker to tell of its certificates', () => lines().length >= count);
  assert.equal(lines().length, count, why);
}
