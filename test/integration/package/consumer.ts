// A program of somebody who has installed the package: it gets a certificate over http-01 and asks when to
// renew it.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Account,
  type AcmeOrder,
  createAccount,
  fetchRenewalInfo,
  findAccount,
  generateKeyPem,
  type Identifier,
  IssuanceError,
  makeCsr,
  type Order,
  obtain,
  openAccount,
  openAcmeClient,
  openCaConnection,
  readPrivateKey,
  renewalInfoId,
  revokeCertificate,
  type Solver,
} from 'quarry/acme';

const [directoryUrl = '', caFile = '', port = ''] = process.argv.slice(2);
const signal = AbortSignal.timeout(240_000);
const identifiers: Identifier[] = [{ type: 'dns', value: 'www.example.org' }];

const responses = new Map<string, string>();
const server = createServer((request, response) => {
  const body = responses.get(request.url ?? '');
  response.writeHead(body === undefined ? 404 : 200).end(body);
});
server.listen(Number(port), '127.0.0.1');

using connection = openCaConnection({
  directoryUrl,
  userAgent: 'consumer/1.0',
  ca: [await readFile(caFile, 'utf8')],
});
const keyPem = await generateKeyPem('P-256');
const { url } = await createAccount(connection, keyPem, { termsOfServiceAgreed: true }, signal);
const account = { keyPem, url };
const acme = openAcmeClient(connection, account, signal);

async function prove(authorizations: readonly string[]): Promise<void> {
  for (const one of authorizations) {
    const challenge = (await acme.getAuthorization(one)).challenges.find(({ type }) => type === 'http-01');
    if (!challenge) throw new Error('no http-01');
    responses.set(`/.well-known/acme-challenge/${challenge.token}`, acme.keyAuthorization(challenge.token));
    await acme.initiateChallenge(challenge.url);
  }
}

const made = await acme.newOrder(identifiers);
await prove(made.authorizations);

async function until(status: AcmeOrder['status']): Promise<AcmeOrder> {
  for (;;) {
    const order = await acme.getOrder(made.url);
    if (order.status === status) return order;
    await delay(Math.max((order.retryAfter ?? 0) - Date.now(), 100), undefined, { signal });
  }
}

const certificateKey = readPrivateKey(await generateKeyPem('P-256'));
await acme.finalize(await until('ready'), await makeCsr(certificateKey, identifiers));
const { certificate = '' } = await until('valid');
const chain = await acme.downloadChain(certificate);
const window = await fetchRenewalInfo(connection, renewalInfoId(chain) ?? '', signal);
const revoked = await revokeCertificate(connection, account, chain, 'superseded', signal);
const stranger = await findAccount(connection, await generateKeyPem('P-256'), signal);
const fault = await acme
  .getOrder(`${made.url}x`)
  .catch(error => error instanceof IssuanceError && error.code);

const http: Solver = {
  name: 'http',
  challengeType: 'http-01',
  canProve: ({ type }) => type === 'dns',
  present: async ({ token, keyAuthorization }) =>
    void responses.set(`/.well-known/acme-challenge/${token}`, keyAuthorization),
  withdraw: async ({ token }) => void responses.delete(`/.well-known/acme-challenge/${token}`),
};
using same: Account = await openAccount({
  directory: directoryUrl,
  key: keyPem,
  userAgent: 'consumer/1.0',
  ca: [await readFile(caFile, 'utf8')],
  signal,
});
const obtained = await obtain(same, {
  names: ['www.example.org'],
  key: await generateKeyPem('P-256'),
  solvers: [http],
  signal,
});
const order: Order = await same.order(['other.example.org']);
await prove(order.authorizations);
const { status } = await order.until('ready', signal);
const found = same.url === url;
server.close();
const printed = { chain, window, revoked, stranger: stranger ?? null, fault, obtained, status, found };
process.stdout.write(JSON.stringify(printed));
