import type { Context } from 'koa';
import { authorizationsFor, challengesFor } from '../../../shared/acme-server/authorizations.ts';
import type { Authorization } from '../../../shared/acme-server/orders.ts';
import { AcmeError } from '../../../shared/acme-server/problem.ts';
import type { AdmittingBlock } from '../../../shared/admission/admit.ts';
import type { ClientProof } from '../../../shared/admission/client-proof.ts';
import type { Clock } from '../../../shared/base/basics.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import type { Identifier } from '../../../shared/base/identifier.ts';
import type { AcmeQueue } from '../../../shared/queue/acme-queue.ts';
import { patienceOf, type Waiting } from '../routes/sign.ts';

/** Seconds for which newOrder is held while a worker looks names up. */
const LONGEST_LOOK = 15;
/** After so many milliseconds a client may come again that no worker has looked for. */
const COME_AGAIN = 5_000;

/**
 * What the client of a new order has to prove, and what it has proven already as its address is that of the
 * names.
 *
 * @returns throws AcmeError `rejectedIdentifier`, with a subproblem for each name that this client cannot
 *   prove at all; IssuanceError `unavailable` where no worker looks
 */
export function openBeginProof(parts: {
  acmeQueue: Pick<AcmeQueue, 'enqueue' | 'result'>;
  waiting: Waiting;
  clock: Clock;
}) {
  const { acmeQueue, waiting, clock } = parts;

  async function findFaults(ctx: Context, block: string, identifiers: Identifier[]): Promise<string[]> {
    const { client, requestId } = ctx.state;
    using patience = patienceOf(ctx, waiting, Math.min(waiting.wait, LONGEST_LOOK));
    const job = await acmeQueue.enqueue({ kind: 'address', block, identifiers, client, requestId });
    const result = await acmeQueue.result(job, patience.signal);
    if (result?.outcome === 'addresses') return result.faults;
    throw new IssuanceError('unavailable', 'no worker has looked up yet where the names lead', {
      retryAfter: clock.now() + COME_AGAIN,
    });
  }

  return async (
    ctx: Context,
    { name, clientProof: proof }: AdmittingBlock,
    identifiers: Identifier[],
  ): Promise<Authorization[]> => {
    const isByAddress = proof?.types.includes('address');
    const faults = isByAddress ? await findFaults(ctx, name, identifiers) : [];
    if (proof) refuseUnprovable(proof, identifiers, faults);
    const isAtClient = faults.map(fault => fault === '');
    return authorizationsFor(identifiers, proof, isAtClient, clock.now());
  };
}

function refuseUnprovable(proof: ClientProof, identifiers: Identifier[], faults: string[]): void {
  const subproblems = identifiers.flatMap((identifier, at) => {
    const fault = faults[at];
    if (fault === '' || challengesFor(identifier, proof).length > 0) return [];
    const detail = fault ?? `${identifier.value} cannot be proven by ${proof.types.join(' or ')}`;
    return [{ kind: 'rejectedIdentifier' as const, detail, identifier }];
  });
  const [first] = subproblems;
  if (first) throw new AcmeError('rejectedIdentifier', first.detail, { subproblems });
}
