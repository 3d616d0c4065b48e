import type { Pebble } from '../support/pebble.ts';
import { type Ground, startGround } from './ground.ts';
import type { NamedCsr } from './named-csrs.ts';

/** One way to get certificates. */
export type Way = {
  sign(csr: NamedCsr): Promise<void>;
  /** The processes that this takes, but for the CA, Redis and the one that asks. */
  pids: number[];
};

export type OpenWay = (stack: AsyncDisposableStack, ground: Ground) => Promise<Way>;

/** A way to get certificates from a Pebble of its own. */
export type Signer = AsyncDisposable & Way & { pebble: Pebble };

/** @param concurrency Quarry's worker's, where the way leads through one */
export async function startSigner(open: OpenWay, concurrency: number): Promise<Signer> {
  await using starting = new AsyncDisposableStack();
  const ground = await startGround(starting, concurrency);
  const way = await open(starting, ground);
  const started = starting.move();
  return { ...way, pebble: ground.pebble, [Symbol.asyncDispose]: () => started.disposeAsync() };
}
