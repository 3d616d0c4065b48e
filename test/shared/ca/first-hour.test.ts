import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { describeError, type Problem } from '../../../shared/base/errors.ts';
import { type AccountDirectory, openAccountDirectory } from '../../../shared/ca/account-directory.ts';
import { openAccounts, openCas } from '../../../shared/ca/open-ca.ts';
import { orderFailure } from '../../../shared/order/order-failure.ts';
import { failCalls } from '../../support/file-system.ts';
import { showMoments } from '../../support/first-hour.ts';
import { freePort } from '../../support/free-port.ts';
import { keptLog } from '../../support/kept-log.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { tlsAuthority } from '../../support/tls-authority.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { acmeError, type FakeCa, problem, startFakeCa } from '../acme/fake-ca.ts';
import { connect, never } from '../acme/open-connection.ts';
import { scriptCa } from '../order/scripted-ca.ts';

/** What a worker logs that cannot open its account yet. */
async function whyNot(acmeServer: string): Promise<string> {
  await using dir = await tempDir();
  const { log, lines } = keptLog('warn');
  const account = {
    name: 'default',
    acmeServer,
    termsOfService: true,
    dir: dir.path,
    contact: [],
    limits: {},
  };
  const store = { redis: { eval: async () => 0 } as never, prefix: '{quarry}' };
  const parts = { clock: turnedClock(0), log };
  using cas = await openCas([account], store, parts);
  const stop = new AbortController();
  const opening = openAccounts(cas.values(), parts, stop.signal, () => {}).catch(() => {});
  await waitUntil('the log to tell of it', () => lines.length > 0);
  stop.abort(new Error('the test has seen it'));
  await opening;
  return `${lines[0]?.msg}: ${lines[0]?.reason}`.replaceAll(new URL(acmeServer).host, 'ca.example');
}

/** What ends a worker whose account can never be opened so. */
async function refusal(options: Partial<AccountDirectory>, prepare: (ca: FakeCa) => void): Promise<string> {
  await using ca = await startFakeCa();
  prepare(ca);
  await using dir = await tempDir();
  using connection = connect(ca.directoryUrl);
  const account = { dir: join(dir.path, 'account'), contact: [], termsOfService: true, ...options };
  const opening = openAccountDirectory(connection, account, quietLog, never);
  return await opening.then(
    () => 'it is open',
    error => describeError(error).replaceAll(dir.path, '/var/lib/quarry'),
  );
}

/** What the client of an order reads whose challenge failed so. */
async function challengeFault(kind: string, detail: string, challenge = 'http-01'): Promise<string> {
  const name = 'www.example.org';
  const said: Problem = { type: acmeError(kind), detail };
  const ca = scriptCa({ faults: { [name]: said }, offers: [challenge] });
  await ca.newOrder([{ type: 'dns', value: name }]);
  await ca.initiateChallenge(`https://ca.example/challenge-${challenge}/${name}`);
  await ca.getOrder('');
  return (await orderFailure(ca, ca.order, [{ type: 'dns', value: name }])).message;
}

async function startUntrusted(t: TestContext): Promise<string> {
  const { certFile, keyFile } = await tlsAuthority();
  const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}/directory`;
}

showMoments('At the CA', {
  'the CA does not answer': async () => whyNot(`http://127.0.0.1:${await freePort()}/directory`),
  "the CA's authority is not known here": async t => whyNot(await startUntrusted(t)),
  'acme-server is no directory': async () => {
    await using ca = await startFakeCa();
    ca.on('/', () => ({ status: 404, headers: { 'Content-Type': 'text/html' }, body: '<h1>Not Found</h1>' }));
    return await whyNot(`${ca.url}/`);
  },
  'the terms of service are not accepted': () =>
    refusal({ termsOfService: false }, ca => {
      ca.meta = { termsOfService: 'https://ca.example/terms' };
    }),
  'the CA wants an external account binding': () =>
    refusal({}, ca => {
      ca.meta = { externalAccountRequired: true };
    }),
  'the CA does not take the e-mail address': () =>
    refusal({ contact: ['mailto:me@localhost'] }, ca =>
      ca.on('/new-account', ({ payload }) =>
        payload?.onlyReturnExisting
          ? problem(400, 'accountDoesNotExist', 'no account')
          : problem(
              400,
              'invalidContact',
              'contact email has invalid domain: Domain name needs at least one dot',
            ),
      ),
    ),
  "the disk of the account's directory is full": async t => {
    failCalls(
      t,
      'open',
      'ENOSPC',
      path => `${path}`.includes('account.pem') || `${path}`.includes('/account/'),
    );
    return await refusal({}, () => {});
  },
  'the name does not lead anywhere': () =>
    challengeFault('dns', 'DNS problem: NXDOMAIN looking up A for www.example.org'),
  'a firewall is before port 80': () =>
    challengeFault(
      'connection',
      '192.0.2.7: Fetching http://www.example.org/.well-known/acme-challenge/x: Timeout',
    ),
  'another web server answers on port 80': () =>
    challengeFault(
      'unauthorized',
      '192.0.2.7: Invalid response from http://www.example.org/.well-known/…: 404',
    ),
  'another server has port 443': () =>
    challengeFault('unauthorized', '192.0.2.7: Cannot negotiate ALPN protocol "acme-tls/1"', 'tls-alpn-01'),
});
