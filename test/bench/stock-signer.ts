import { readFile } from 'node:fs/promises';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { Client, crypto } from 'acme-client';
import { Redis } from 'ioredis';
import { challengeKey } from '../../shared/solver/challenge-responses.ts';
import type { Pebble } from '../support/pebble.ts';
import { startQuarry } from '../support/quarry.ts';
import { prefix, type Signer, startGround } from './signer.ts';

/**
 * acme-client polls at once, then after so many milliseconds, doubling; it would start at 5 s by itself. Of 20, 50 and
 * 100 ms this brought it the most.
 */
const stockPoll = { backoffMin: 20, backoffMax: 1_000, backoffAttempts: 30 };

/** The stock client, in this process. Pebble validates at Quarry's responder here too, so that this part costs the same. */
export async function startStockSigner(): Promise<Signer> {
  await using starting = new AsyncDisposableStack();
  const { pebble, ini, ...ground } = await startGround(starting, 1);
  starting.use(await startQuarry('responder', ini));
  const redis = starting.adopt(new Redis(ground.redis.url), redis => redis.disconnect());
  const client = await openStockClient(pebble);
  const started = starting.move();
  return {
    pebble,
    sign: (name, csr) => signWithStockCalls(client, redis, name, csr),
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

/** A client of Pebble with an account of its own, otherwise as acme-client comes. */
export async function openStockClient({ directoryUrl, caFile }: Pebble): Promise<Client> {
  setDefaultCACertificates([...getCACertificates('default'), await readFile(caFile, 'utf8')]);
  const client = new Client({ directoryUrl, accountKey: await crypto.createPrivateEcdsaKey(), ...stockPoll });
  await client.createAccount({ termsOfServiceAgreed: true });
  return client;
}

/** The least that can be done with it: the order is polled, and not each authorization and challenge. */
async function signWithStockCalls(client: Client, redis: Redis, name: string, csr: string): Promise<void> {
  const order = await client.createOrder({ identifiers: [{ type: 'dns', value: name }] });
  const [authorization] = await client.getAuthorizations(order);
  const challenge = authorization?.challenges.find(({ type }) => type === 'http-01');
  if (!challenge) throw new Error('Pebble offers no http-01');
  const key = challengeKey(prefix, challenge.token);
  await redis.set(key, await client.getChallengeKeyAuthorization(challenge));
  await client.completeChallenge(challenge);
  await client.waitForValidStatus(order);
  await redis.del(key);
  await client.getCertificate(await client.finalizeOrder(order, csr));
}
