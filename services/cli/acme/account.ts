import {
  createAccount,
  deactivateAccount,
  findAccount,
  readTermsOfService,
  rolloverKey,
  updateContact,
} from '../../../shared/acme/account.ts';
import { fetchResource } from '../../../shared/acme/resource.ts';
import type { AcmeAction } from './action.ts';
import { toContact } from './contact.ts';
import { readEab } from './eab.ts';
import { exampleReg, exampleServer } from './examples.ts';
import { toText } from './print.ts';
import { readKey, withAccount, withSession } from './session.ts';

const REG = 'reg KEY-FILE ACCOUNT-ID SERVER acct';
const registered = `${exampleReg} acct`;

/** RFC 8555 section 7.3. */
export const accountActions: AcmeAction[] = [
  {
    usage:
      'unreg KEY-FILE SERVER create [--contact X]… [--eab-kid ID] [--eab-hmac-key BASE64URL] [--eab-hmac-key-file FILE]',
    summary:
      "makes an account for a key and agrees to the CA's terms of service; the HMAC key of an external account binding is better in a file, or in the environment as QUARRY_EAB_HMAC_KEY, than where every process can see it",
    example: `unreg account.key.priv.pem ${exampleServer} create --contact admin@example.org`,
    async run(given, { env, write }) {
      const keyPem = await readKey(given.one('KEY-FILE'));
      const [contact, eab] = [given.options('contact').map(toContact), await readEab(given, env)];
      await withSession(given, env, async ({ connection, signal }) => {
        const termsOfServiceAgreed = (await readTermsOfService(connection, signal)) !== undefined;
        const wanted = { contact, termsOfServiceAgreed, eab };
        write(toText('Account', await createAccount(connection, keyPem, wanted, signal)));
      });
    },
  },
  {
    usage: 'unreg KEY-FILE SERVER status [--account-id ID]',
    summary: 'shows the account of a key, which is looked up by the key unless its URL is given',
    example: `unreg account.key.priv.pem ${exampleServer} status`,
    async run(given, { env, write }) {
      const keyPem = await readKey(given.one('KEY-FILE'));
      const url = given.option('account-id');
      await withSession(given, env, async ({ connection, signal }) => {
        const found = url
          ? await fetchResource(connection, { keyPem, url }, url, signal)
          : await findAccount(connection, keyPem, signal);
        if (!found) throw new Error('the CA has no account for this key');
        write(toText('Account', found));
      });
    },
  },
  {
    usage: `${REG} status`,
    summary: 'shows the account',
    example: `${registered} status`,
    run: (given, { env, write }) =>
      withAccount(given, env, async ({ connection, account, signal }) => {
        write(toText('Account', await fetchResource(connection, account, account.url, signal)));
      }),
  },
  {
    usage: `${REG} update [--contact X]…`,
    summary: 'replaces the contacts of the account by those given; none are given: nothing changes',
    example: `${registered} update --contact admin@example.org --contact mailto:ops@example.org`,
    async run(given, { env, write }) {
      const contact = given.options('contact').map(toContact);
      await withAccount(given, env, async ({ connection, account, signal }) => {
        if (contact.length > 0) await updateContact(connection, account, contact, signal);
        write(toText('Account', await fetchResource(connection, account, account.url, signal)));
      });
    },
  },
  {
    usage: `${REG} rollover NEW-KEY-FILE`,
    summary:
      'gives the account a new key, made before by key create; the old one is worth nothing from then on',
    example: `${registered} rollover new.key.priv.pem`,
    async run(given, { env, write }) {
      const newKey = await readKey(given.one('NEW-KEY-FILE'));
      await withAccount(given, env, async ({ connection, account, signal }) => {
        const renewed = await rolloverKey(connection, account, newKey, signal);
        write(toText('Account', await fetchResource(connection, renewed, renewed.url, signal)));
      });
    },
  },
  {
    usage: `${REG} deactivate`,
    summary: 'ends the account for good',
    example: `${registered} deactivate`,
    run: (given, { env, write }) =>
      withAccount(given, env, async ({ connection, account, signal }) => {
        const object = await deactivateAccount(connection, account, signal);
        write(toText('Account', { url: account.url, object }));
      }),
  },
];
