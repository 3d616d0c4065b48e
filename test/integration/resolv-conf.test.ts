import assert from 'node:assert/strict';
import { lookup } from 'node:dns/promises';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { openResolver } from '../../shared/solver/resolver.ts';
import { openSelfCheck, type SelfCheckConfig } from '../../shared/solver/self-check.ts';
import { keptLog } from '../support/kept-log.ts';
import { handedOver, runInOwnNetwork } from '../support/own-network.ts';
import { reply, startScriptedDns } from '../support/scripted-dns.ts';

// What this process asks the system's resolvers once resolv.conf names others than when it began. The file
// runs once more in a network of its own, where that is its own, too.

const name = 'www.moved.example';
const token = 'tokentokentokentoken';
const response = {
  identifier: { type: 'dns', value: name } as const,
  ...{ token, keyAuthorization: `${token}.thumbprint` },
};
const { signal } = new AbortController();

/** At `127.0.0.<last>`, it has each name lead to an address that tells it from others. */
const startDns = (last: number) =>
  startScriptedDns(
    asked => {
      const [{ type = 'A' } = {}] = asked.questions ?? [];
      const found = type === 'A' ? [{ type, name, data: `127.0.0.${last + 10}`, ttl: 0 }] : [];
      return [reply(asked, found)];
    },
    { host: `127.0.0.${last}`, port: 53 },
  );

if (handedOver() !== undefined) {
  test('resolvers that resolv.conf names from now on are asked, and the old ones no more', async () => {
    await using _servers = new AsyncDisposableStack();
    for (const last of [7, 8]) _servers.use(await startDns(last));
    const ask = openResolver([], 1_000);
    const log = keptLog();
    const config: SelfCheckConfig = { mode: 'warn', port: 1, resolvers: [], networks: ['127.0.0.0/8'] };
    const look = openSelfCheck(config, log.log);
    for (const last of [7, 8, 7]) {
      await writeFile('/etc/resolv.conf', `nameserver 127.0.0.${last}\n`);
      const address = `127.0.0.${last + 10}`;
      const { answers } = await ask(name, 'A', signal);
      assert.deepEqual(answers, [{ type: 'A', name, address }]);
      assert.equal((await lookup(name)).address, address); // connections to CAs, Redis and the like
      await look(response, signal);
      assert.deepEqual(log.lines.splice(0).at(-1)?.addresses, [address]);
    }
  });
} else {
  const code = await runInOwnNetwork(import.meta.filename, 'itself');
  if (code === undefined) test('resolv.conf', { skip: 'this system grants no network of its own' }, () => {});
  else process.exitCode = code;
}
