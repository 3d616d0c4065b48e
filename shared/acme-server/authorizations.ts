import { randomBytes } from 'node:crypto';
import type { AuthBlock } from '../admission/admit.ts';
import type { ClientProof } from '../admission/client-proof.ts';
import { type ChallengeType, canProve, type Identifier } from '../base/identifier.ts';
import type { Authorization, Order } from './orders.ts';

/** What Quarry lists: some clients want to see the type that they are set to. */
const types: readonly ChallengeType[] = ['http-01', 'dns-01', 'tls-alpn-01'];

/**
 * The authorizations of a new order. They are valid from the start: who has the names is for admission to
 * say, and Quarry proves them at the CA. Only where the block wants its clients to prove them, they are
 * pending.
 *
 * @param now milliseconds since the epoch
 */
export function authorizationsFor(
  { clientProof }: Pick<AuthBlock, 'clientProof'>,
  identifiers: readonly Identifier[],
  now: number,
): Authorization[] {
  return identifiers.map(identifier => {
    const fitting = types.filter(type => canProve(type, identifier));
    return clientProof ? toPending(fitting, clientProof) : toValid(fitting, now);
  });
}

const toValid = (fitting: ChallengeType[], now: number): Authorization => ({
  status: 'valid',
  challenges: fitting.map(type => ({ type, token: newToken(), status: 'valid', validated: now })),
});

const toPending = (fitting: ChallengeType[], clientProof: ClientProof): Authorization => ({
  status: 'pending',
  challenges: fitting
    .filter(type => clientProof.types.some(one => one === type))
    .map(type => ({ type, token: newToken(), status: 'pending' })),
});

const newToken = () => randomBytes(16).toString('base64url');

/**
 * Of the blocks that admit a client today those that its order may be finalized by, in the order in which
 * they are asked: the one that has admitted it is the first. One that wants proof takes none but its own.
 */
export function blocksForOrder<Block extends AuthBlock>(
  blocks: Block[],
  { block: own, authorizations }: Pick<Order, 'block' | 'authorizations'>,
): Block[] {
  const isProven = ({ clientProof }: Block) =>
    !clientProof ||
    authorizations.every(({ proof }) => proof !== undefined && clientProof.types.includes(proof));
  const able = blocks.filter(isProven);
  return [...able.filter(({ name }) => name === own), ...able.filter(({ name }) => name !== own)];
}
