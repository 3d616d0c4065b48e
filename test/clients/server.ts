import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { type AcmeFleet, startAcmeFleet } from '../support/acme-fleet.ts';
import { startChalltestsrv } from '../support/challtestsrv.ts';
import { tempDir } from '../support/temp-dir.ts';
import type { Ground } from './client.ts';

/** The block with a key is called as the one on the page. Dehydrated wants 32 bytes of it. */
const binding = { kid: 'web', hmacKey: 'key-of-the-block-web-0123456789a' };

export type ClientServer = AsyncDisposable & {
  acme: AcmeFleet;
  /** A new folder for a client, and what it is told; bound: the account is for names below bound.example. */
  makeGround(bound: boolean): Promise<Ground>;
};

/** What the matrix's clients are pointed at. Names below open.example need no key, from this machine. */
export async function startClientServer(): Promise<ClientServer> {
  await using started = new AsyncDisposableStack();
  const dns = started.use(await startChalltestsrv());
  const { path } = started.use(await tempDir());
  const blocks = `[verification "dns"]
type = dns01-challtestsrv
set-txt_url = ${dns.managementUrl}/set-txt
[auth "web"]
hmac_type = sha256
hmac_key = ${binding.hmacKey}
domain = *.bound.example
verification = http, dns
[auth "open"]
ip = 127.0.0.0/8
domain = *.open.example
address = 127.0.0.0/8
verification = http, dns
`;
  const pebble = {
    dnsServer: dns.dnsServer,
    // A certificate that lives for less than a week would be due for renewal at once.
    profiles: { default: { description: 'three months', validityPeriod: 90 * 86_400 } },
  };
  const acme = started.use(await startAcmeFleet({ blocks, pebble }));
  // Clients that run on ask again as soon as Quarry lets them: after a minute. Pebble says six hours.
  acme.fleet.ca.rule({
    kind: 'renewalInfo',
    do: { rewrite: ({ headers }) => ({ headers: { ...headers, 'retry-after': '1' } }) },
  });
  const { directoryUrl, caFile } = acme;
  const key = Buffer.from(binding.hmacKey).toString('base64url');
  const running = started.move();
  return {
    acme,
    makeGround: async bound => ({
      directoryUrl,
      caFile,
      binding: bound ? { kid: binding.kid, key } : undefined,
      dir: await mkdtemp(join(path, 'client-')),
    }),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
