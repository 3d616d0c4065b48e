import { readFile } from 'node:fs/promises';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { Client, crypto } from 'acme-client';
import { Redis } from 'ioredis';
import { challengeKey } from '../../shared/solver/http01.ts';
import type { ClientSpec } from './client-program.ts';
import { prefix } from './ground.ts';
import type { NamedCsr } from './named-csrs.ts';

/**
 * acme-client polls at once, then after so many milliseconds, doubling; it would start at 5 s by itself. Of
 * 20, 50 and 100 ms this brought it the most.
 */
const fastPolls = { backoffMin: 20, backoffMax: 1_000, backoffAttempts: 30 };

type Polls = typeof fastPolls;

/** A client of the CA with an account of its own, otherwise as acme-client comes. */
export async function openStockClient(
  { directoryUrl, caFile }: { directoryUrl: string; caFile: string },
  polls: Polls = fastPolls,
): Promise<Client> {
  setDefaultCACertificates([...getCACertificates('default'), await readFile(caFile, 'utf8')]);
  const client = new Client({ directoryUrl, accountKey: await crypto.createPrivateEcdsaKey(), ...polls });
  await client.createAccount({ termsOfServiceAgreed: true });
  return client;
}

/**
 * Stock calls, put together as well as can be; its challenge responses go where Quarry's responder finds
 * them.
 */
export async function openSigningStockClient(spec: ClientSpec): Promise<(csr: NamedCsr) => Promise<void>> {
  const client = await openStockClient(spec);
  const redis = new Redis(spec.redisUrl);
  return csr => signWithStockCalls(client, redis, csr);
}

/** The least that can be done with it: the order is polled, and not each authorization and challenge. */
async function signWithStockCalls(client: Client, redis: Redis, { names, csr }: NamedCsr): Promise<void> {
  const order = await client.createOrder({ identifiers: names.map(value => ({ type: 'dns', value })) });
  const keys: string[] = [];
  for (const authorization of await client.getAuthorizations(order)) {
    const challenge = authorization.challenges.find(({ type }) => type === 'http-01');
    if (!challenge) throw new Error('the CA offers no http-01');
    const key = challengeKey(prefix, challenge.token);
    keys.push(key);
    await redis.set(key, await client.getChallengeKeyAuthorization(challenge));
    await client.completeChallenge(challenge);
  }
  await client.waitForValidStatus(order);
  await redis.del(keys);
  await client.getCertificate(await client.finalizeOrder(order, csr));
}
