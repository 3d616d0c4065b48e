import { inTime } from './clients.ts';
import type { Ground, StartGround } from './ground.ts';
import type { NamedCsr } from './named-csrs.ts';
import { openStockClient } from './stock-client.ts';

/** One way to get certificates. */
export type Way = {
  sign(csr: NamedCsr): Promise<void>;
  /** The processes that this takes, but for the CA, Redis and the one that asks. */
  pids: number[];
};

export type OpenWay = (stack: AsyncDisposableStack, ground: Ground) => Promise<Way>;

/** A way to get certificates on a ground of its own. */
export type Signer = AsyncDisposable & Pick<Way, 'sign'> & { way: Way; ground: Ground };

const probeLimitMs = 3_000;

/** @param concurrency Quarry's worker's, where the way leads through one */
export async function startSigner(
  open: OpenWay,
  startGround: StartGround,
  concurrency: number,
): Promise<Signer> {
  await using starting = new AsyncDisposableStack();
  const ground = await startGround(starting, concurrency);
  const way = await open(starting, ground);
  const started = starting.move();
  return { way, ground, sign: way.sign, [Symbol.asyncDispose]: () => started.disposeAsync() };
}

/**
 * So that a hanging Quarry is not taken for a hanging CA: that one does not even take an order from a
 * stranger.
 */
export async function hasHung({ ca }: Ground): Promise<boolean> {
  const order = async () => {
    const stranger = await openStockClient(ca);
    await stranger.createOrder({ identifiers: [{ type: 'dns', value: 'probe.bench.example' }] });
  };
  return inTime(order(), probeLimitMs).then(
    () => false,
    () => true,
  );
}
