import { isFailureCode } from '../base/errors.ts';
import { isFlag, isNumber, isText, listOf, optional, shapeOf } from '../base/redis.ts';
import type { Refusal } from '../order/fail-over.ts';
import type { Checkpoint, OrderChallenge, OrderState } from '../order/order-state.ts';

/** Saved after every step of a sign job. */
export type SavedProgress = {
  /** How far the order at each account is. */
  orders: Record<string, Checkpoint>;
  /** The accounts that have refused in this round over all of them. */
  refusals: Refusal[];
  /** Whether CAs that do not offer the certificate profile are asked without it. */
  withoutProfile?: true;
};

const isChallenge = shapeOf<Omit<OrderChallenge, 'persist' | 'told'>>({
  ...{ identifier: shapeOf({ type: isText, value: isText }), url: isText, token: isText, solver: isText },
});
const isOrder = shapeOf<Pick<OrderState, 'url' | 'challenges' | 'initiated' | 'polls'>>({
  ...{ url: optional(isText), challenges: listOf(isChallenge), initiated: isFlag, polls: isNumber },
});
const isCheckpoint = shapeOf<Omit<Checkpoint, 'turn'>>({
  ...{ order: isOrder, failures: isNumber, lostOrders: isNumber, begun: optional(isNumber) },
});
const isRefusal = shapeOf<Pick<Refusal, 'account' | 'code' | 'detail' | 'until'>>({
  ...{ account: isText, code: isFailureCode, detail: isText, until: optional(isNumber) },
});
const hasOrders = (value: unknown) =>
  typeof value === 'object' && value !== null && Object.values(value).every(isCheckpoint);

export const isSavedProgress = shapeOf<SavedProgress>({
  ...{ orders: hasOrders, refusals: listOf(isRefusal), withoutProfile: optional(isFlag) },
});
