import { openAcmeClient } from '../../../shared/acme/client.ts';
import { fetchResource, listOrders } from '../../../shared/acme/resource.ts';
import { joinChain, splitChain } from '../../../shared/pki/certificate.ts';
import { makeCsr } from '../../../shared/pki/make-csr.ts';
import { readPrivateKey } from '../../../shared/pki/private-key.ts';
import { UsageError } from '../command.ts';
import type { Given } from '../form.ts';
import type { AcmeAction } from './action.ts';
import { exampleReg } from './examples.ts';
import { parseName, parseTypedName } from './identifier.ts';
import { toText } from './print.ts';
import { readKey, toUrl, withAccount } from './session.ts';

const REG = 'reg KEY-FILE ACCOUNT-ID SERVER order';
const example = (words: string) => `${exampleReg} order ${words}`;
const orderId = 'https://acme.example/order/1';

/** RFC 8555 sections 7.1.2.1 and 7.4. */
export const orderActions: AcmeAction[] = [
  {
    usage: `${REG} create TYPE|VALUE…`,
    summary: 'orders a certificate for names and addresses',
    example: example("create 'dns|example.org' 'dns|*.example.org'"),
    async run(given, { env, write }) {
      const identifiers = given.many('TYPE|VALUE').map(parseTypedName);
      await withAccount(given, env, async ({ connection, account, signal }) => {
        const { url } = await openAcmeClient(connection, account, signal).newOrder(identifiers);
        write(toText('Order', await fetchResource(connection, account, url, signal)));
      });
    },
  },
  {
    usage: `${REG} status ORDER-ID`,
    summary: 'shows an order',
    example: example(`status ${orderId}`),
    async run(given, { env, write }) {
      const url = toUrl(given, 'ORDER-ID');
      await withAccount(given, env, async ({ connection, account, signal }) => {
        write(toText('Order', await fetchResource(connection, account, url, signal)));
      });
    },
  },
  {
    usage: `${REG} get-authz ORDER-ID INDEX`,
    summary: 'shows one authorization of an order, counted from 0, with the challenges that it offers',
    example: example(`get-authz ${orderId} 0`),
    async run(given, { env, write }) {
      const [url, index] = [toUrl(given, 'ORDER-ID'), toIndex(given)];
      await withAccount(given, env, async ({ connection, account, signal }) => {
        const { authorizations } = await openAcmeClient(connection, account, signal).getOrder(url);
        const authorization = authorizations[index];
        if (!authorization)
          throw new Error(
            `the order has no authorization ${index}: there are ${authorizations.length}, counted from 0`,
          );
        write(toText('Authorization', await fetchResource(connection, account, authorization, signal)));
      });
    },
  },
  {
    usage: `${REG} finalize ORDER-ID CERT-KEY-FILE NAME…`,
    summary:
      "asks for the certificate of an order that is ready, by a CSR for a key and all of the order's names",
    example: example(`finalize ${orderId} example.org.key.priv.pem example.org`),
    async run(given, { env, write }) {
      const [url, identifiers] = [toUrl(given, 'ORDER-ID'), given.many('NAME').map(parseName)];
      const csr = await makeCsr(readPrivateKey(await readKey(given.one('CERT-KEY-FILE'))), identifiers);
      await withAccount(given, env, async ({ connection, account, signal }) => {
        const client = openAcmeClient(connection, account, signal);
        await client.finalize(await client.getOrder(url), csr);
        write(toText('Order', await fetchResource(connection, account, url, signal)));
      });
    },
  },
  {
    usage: `${REG} get-cert ORDER-ID`,
    summary: 'prints the certificate chain of an order that is valid, leaf first, and nothing else',
    example: `${example(`get-cert ${orderId}`)} >example.org.cert.pub.pem`,
    async run(given, { env, write }) {
      const url = toUrl(given, 'ORDER-ID');
      await withAccount(given, env, async ({ connection, account, signal }) => {
        const client = openAcmeClient(connection, account, signal);
        const { status, certificate } = await client.getOrder(url);
        if (!certificate) throw new Error(`the order is ${status} and has no certificate`);
        write(toPrintable(await client.downloadChain(certificate)));
      });
    },
  },
  {
    usage: `${REG} list`,
    summary: "shows the account's orders, those that the CA still lists; not every CA has a list",
    example: example('list'),
    run: (given, { env, write }) =>
      withAccount(given, env, async ({ connection, account, signal }) => {
        const { url, orders } = await listOrders(connection, account, signal);
        write(toText('Orders', { url, object: { orders } }));
      }),
  },
];

/** As the CA sent it, which is what concorde prints; but not what could steer the terminal. */
function toPrintable(chain: string): string {
  const certificates = splitChain(chain);
  return /^[\t\n\r\x20-\x7e]*$/.test(chain) ? chain : joinChain(certificates);
}

function toIndex(given: Given): number {
  const text = given.one('INDEX');
  if (/^\d{1,4}$/.test(text)) return Number(text);
  throw new UsageError(`INDEX is a number from 0 on, and not ${JSON.stringify(text)}`);
}
