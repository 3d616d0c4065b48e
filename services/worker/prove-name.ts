import type { ProofConfig } from '../../shared/acme-server/acme-section.ts';
import type { Order, Orders } from '../../shared/acme-server/orders.ts';
import { AcmeError, toProblem } from '../../shared/acme-server/problem.ts';
import { findChallenge, isOpen, toProven, toUnproven, toUnseen } from '../../shared/acme-server/proofs.ts';
import { lookInDns } from '../../shared/acme-server/validate/dns-01.ts';
import { lookByHttp } from '../../shared/acme-server/validate/http-01.ts';
import type { Look, Unproven } from '../../shared/acme-server/validate/look.ts';
import { lookByTls } from '../../shared/acme-server/validate/tls-alpn-01.ts';
import type { AuthBlock } from '../../shared/admission/admit.ts';
import type { Clock, Log } from '../../shared/base/basics.ts';
import type { ProofJobData } from '../../shared/queue/acme-queue.ts';

export type ProveParts = {
  orders: Pick<Orders, 'read' | 'replace' | 'end'>;
  /** The auth blocks by their names. */
  blocks: ReadonlyMap<string, Pick<AuthBlock, 'clientProof'>>;
  proof: ProofConfig;
  clock: Clock;
  log: Log;
};

const looks: Record<ProofJobData['challenge'], Look> = {
  'http-01': lookByHttp,
  'dns-01': lookInDns,
  'tls-alpn-01': lookByTls,
};

/**
 * Looks once for the response to a challenge of a client's order, and writes into the order what was seen.
 * Safe to repeat: a worker that dies in the middle is followed by another.
 *
 * @param last whether the order fails where the response is not there
 * @returns whether there is no more to look for: the response was seen, or the order is over
 */
export async function proveName(
  parts: ProveParts,
  data: ProofJobData,
  last: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  const { orders, clock, log } = parts;
  const { order } = (await orders.read(data.order)) ?? {};
  const challenge = order && isOpen(order, data) ? findChallenge(order, data) : undefined;
  const identifier = order?.identifiers[data.authorization];
  if (!order || !challenge || !identifier) return true;
  const { networks = [] } = parts.blocks.get(order.block)?.clientProof ?? {};
  const proof = { identifier, token: challenge.token, thumbprint: data.thumbprint };
  const sight = { ...parts.proof, networks, client: order.client };
  const unproven = await looks[data.challenge](proof, sight, signal).catch((error): Unproven => {
    signal.throwIfAborted();
    log.error({ request: data.requestId, err: error }, 'a look at a proof failed');
    return { kind: 'serverInternal', detail: 'internal error' };
  });
  const found = { request: data.requestId, order: order.id, name: identifier.value, type: data.challenge };
  const { detail: reason, hidden } = unproven ?? {};
  log.info(
    { ...found, reason, hidden },
    unproven ? 'the client has not proven its name' : 'the client has proven its name',
  );
  const problem = unproven && describe(unproven);
  const change = (now: Order) => {
    if (!problem) return toProven(now, data, clock.now());
    return last ? toUnproven(now, data, problem) : toUnseen(now, data, problem);
  };
  await write(orders, data, change);
  return !unproven || last;
}

const describe = ({ kind, detail }: Unproven) => toProblem(new AcmeError(kind, detail));

/** Until nobody else was faster. */
async function write(
  orders: ProveParts['orders'],
  data: ProofJobData,
  change: (order: Order) => Order,
): Promise<void> {
  for (;;) {
    const kept = await orders.read(data.order);
    if (!kept || !isOpen(kept.order, data)) return;
    const order = change(kept.order);
    const write = order.status === 'invalid' ? orders.end(kept, { order }) : orders.replace(kept, order);
    if (await write) return;
  }
}
