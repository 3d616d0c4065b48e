import { randomBytes } from 'node:crypto';
import type { AuthBlock } from '../admission/admit.ts';
import { type ClientChallenge, type ClientProof, clientChallenges } from '../admission/client-proof.ts';
import { canProve, type Identifier } from '../base/identifier.ts';
import type { Authorization, Order } from './orders.ts';

/**
 * The authorizations of a new order. Where its auth block wants nothing proven they are valid from the start:
 * who has the names is for admission to say, and Quarry proves them at the CA.
 *
 * @param proof what the block wants; undefined where nothing
 * @param isAtClient of each identifier, whether its `address` proves it
 * @param now milliseconds since the epoch
 */
export function authorizationsFor(
  identifiers: readonly Identifier[],
  proof: ClientProof | undefined,
  isAtClient: readonly boolean[],
  now: number,
): Authorization[] {
  return identifiers.map((identifier, at): Authorization => {
    if (!proof) return toValid(identifier, now);
    if (isAtClient[at]) return { ...toValid(identifier, now), proof: 'address' };
    return { status: 'pending', challenges: challengesFor(identifier, proof).map(toPending) };
  });
}

/** The challenges of which a client can choose one to prove a name to a block. */
export const challengesFor = (identifier: Identifier, { types: wanted }: ClientProof): ClientChallenge[] =>
  clientChallenges.filter(type => wanted.includes(type) && canProve(type, identifier));

const toPending = (type: ClientChallenge) => ({ type, token: newToken(), status: 'pending' as const });

const toValid = (identifier: Identifier, now: number): Authorization => ({
  status: 'valid',
  challenges: clientChallenges
    .filter(type => canProve(type, identifier))
    .map(type => ({ type, token: newToken(), status: 'valid', validated: now })),
});

/** Whether the names of an order are proven as a block wants it by now. */
export const isProvenFor = ({ clientProof }: Pick<AuthBlock, 'clientProof'>, order: Order): boolean =>
  !clientProof ||
  order.authorizations.every(({ proof }) => proof !== undefined && clientProof.types.includes(proof));

const newToken = () => randomBytes(16).toString('base64url');

/**
 * Of the blocks that admit a client today, in the order in which they are asked, those that its order may be
 * finalized by; the one that has admitted it is the first.
 */
export function blocksForOrder<Block extends AuthBlock>(blocks: Block[], { block: own }: Order): Block[] {
  return [...blocks.filter(({ name }) => name === own), ...blocks.filter(({ name }) => name !== own)];
}
