import { randomBytes } from 'node:crypto';
import type { AuthBlock } from '../admission/admit.ts';
import { type ChallengeType, canProve, type Identifier } from '../base/identifier.ts';
import type { Authorization, Order } from './orders.ts';

/** What Quarry lists: some clients want to see the type that they are set to. */
const types: readonly ChallengeType[] = ['http-01', 'dns-01', 'tls-alpn-01'];

/**
 * The authorizations of a new order, which are valid from the start: who has the names is for admission to
 * say, and Quarry proves them at the CA.
 *
 * @param now milliseconds since the epoch
 */
export function authorizationsFor(
  _block: AuthBlock,
  identifiers: readonly Identifier[],
  now: number,
): Authorization[] {
  return identifiers.map(identifier => ({
    status: 'valid',
    challenges: types
      .filter(type => canProve(type, identifier))
      .map(type => ({ type, token: newToken(), status: 'valid', validated: now })),
  }));
}

const newToken = () => randomBytes(16).toString('base64url');

/**
 * Of the blocks that admit a client today, in the order in which they are asked, those that its order may be
 * finalized by; the one that has admitted it is the first.
 */
export function blocksForOrder<Block extends AuthBlock>(blocks: Block[], { block: own }: Order): Block[] {
  return [...blocks.filter(({ name }) => name === own), ...blocks.filter(({ name }) => name !== own)];
}
