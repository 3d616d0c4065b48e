import { createAccount, readTermsOfService } from '../acme/account.ts';
import { type AcmeAccount, type AcmeClient, openAcmeClient, openSigner } from '../acme/client.ts';
import { type CaConnection, readDirectory } from '../acme/connection.ts';
import { saysAccountIsGone } from '../acme/problem.ts';
import type { Log } from '../base/basics.ts';
import { IssuanceError } from '../base/errors.ts';
import type { Ca } from '../ca/open-ca.ts';
import type { Certificate } from '../pki/certificate.ts';
import { isIssuedFor } from '../storage/issued-for.ts';
import type { IssuedBy } from '../storage/storage.ts';
import { inDirectory, keyFileOf, makeKeyFile, readKeyFile, type ShamanFile } from './file.ts';
import type { ShamanProfile } from './profile.ts';

/** What the account of a profile is called; an account of the configuration cannot have a dot in its name. */
export const OWN_ACCOUNT = 'shaman.json';

/** The accounts of a run. */
export type Accounts = {
  /** To be ordered from, in the order of preference; at least one. */
  readonly orderers: readonly Ca[];
  /** The account of a name, which absent is the profile's own. */
  find(account: string | undefined): Ca | undefined;
  /** Who has issued a certificate: the account that can fetch it, and the CA that can be asked about it. */
  issuerOf(issuedBy: IssuedBy | undefined): { account: Ca | undefined; ca: Ca | undefined };
  /**
   * Whether a certificate is as good as one that would be ordered now; the profile's own account takes any.
   */
  accepts(certificate: { leaf: Certificate; issuedBy?: IssuedBy | undefined }): boolean;
  /** Acts as an account. One that its CA no longer knows is looked up by its key, or made anew, once. */
  actAs<T>(ca: Ca, act: (acme: AcmeClient) => Promise<T>): Promise<T>;
};

/**
 * @param all the accounts that are ordered from, and those of the configuration
 * @param server the CA of the profile's own account
 * @param signal ends every request
 */
export function openAccounts(
  orderers: readonly Ca[],
  { all, server }: { all: readonly Ca[]; server: string },
  { log, signal }: { log: Log; signal: AbortSignal },
): Accounts {
  const find = (account = OWN_ACCOUNT) => all.find(({ name }) => name === account);
  const isOwn = find() !== undefined;
  return {
    orderers,
    find,
    issuerOf(issuedBy) {
      const { account, directory } = issuedBy ?? { account: OWN_ACCOUNT, directory: server };
      const there = all.filter(({ directoryUrl }) => directoryUrl === directory);
      const issuer = there.find(({ name }) => name === account);
      return { account: issuer, ca: issuer ?? there[0] };
    },
    accepts: certificate => isOwn || isIssuedFor(certificate, orderers.map(toIssuedBy), all.map(toIssuedBy)),
    async actAs({ account, connection }, act) {
      const opened = await account.open(signal);
      try {
        return await act(openAcmeClient(connection, opened, signal));
      } catch (error) {
        if (!saysAccountIsGone(error)) throw error;
        log.warn(`the CA no longer knows the account ${opened.url}`);
        await account.renew(opened, signal);
        return act(openAcmeClient(connection, await account.open(signal), signal));
      }
    },
  };
}

/**
 * The account of a profile, key and account made where they are missing. A CA has one account per key (RFC
 * 8555 section 7.3), so it does no harm to be stopped before its URL is noted.
 *
 * @param lost an account URL that the CA no longer knows
 * @throws IssuanceError `misconfigured` when the key is unusable or the CA wants an external binding, else as
 *   the CA says
 */
export async function openShamanAccount(
  connection: CaConnection,
  { file, log }: { file: ShamanFile; log: Log },
  signal: AbortSignal,
  lost?: string,
): Promise<AcmeAccount> {
  const { server, key, accountUrl, contact, eab, memory } = await file.read();
  const keyPem = await openAccountKey(file, key, log);
  const { thumbprint } = openSigner(connection, { keyPem }, signal).key;
  const keep = (url: string, more = {}) =>
    file.patch({ ...more, quarry: { account: { server, url, thumbprint } } });
  const known = memory.account?.thumbprint;
  if (accountUrl !== undefined && accountUrl !== lost && [undefined, thumbprint].includes(known)) {
    if (known === undefined) await keep(accountUrl); // concorde's key and URL are taken to belong together
    return { keyPem, url: accountUrl };
  }
  const terms = await readTermsOfService(connection, signal);
  if (!eab && (await readDirectory(connection, signal)).externalAccountRequired) {
    const detail = `the CA wants an external account binding: set eab in ${file.path}`;
    throw new IssuanceError('misconfigured', detail);
  }
  // To run shaman over a profile is to agree to the terms, as with concorde.
  const account = { contact, termsOfServiceAgreed: terms !== undefined, eab };
  const { url } = await createAccount(connection, keyPem, account, signal);
  log.info(`account ${url}${terms === undefined ? '' : `, which agrees to ${terms}`}`);
  await keep(url, { account_id: url });
  return { keyPem, url };
}

/** @returns PEM */
async function openAccountKey(file: ShamanFile, key: string | undefined, log: Log): Promise<string> {
  if (key !== undefined) return (await readKeyFile(inDirectory(file, key))).pem;
  const name = keyFileOf('account');
  const { pem, made } = await makeKeyFile(inDirectory(file, name), 'P-384');
  if (made) log.info(`account key made: ${name}`);
  await file.patch({ key: name });
  return pem;
}

/**
 * What one CA knows, another does not: where `server` was changed, account, orders and certificates are had
 * anew, while keys and the certificates on disk stay.
 */
export async function leaveOtherServer(
  file: ShamanFile,
  profile: ShamanProfile,
  log: Log,
): Promise<ShamanProfile> {
  const { memory, accountUrl: url, server } = profile;
  if (memory.account?.url !== url && url !== undefined)
    await file.patch({ quarry: { account: { server, url } } });
  if (!memory.account || memory.account.url !== url || memory.account.server === server) return profile;
  log.warn(`the server was changed from ${memory.account.server} to ${server}: all is ordered anew there`);
  for (const { name } of profile.domains) {
    await file.patchDomain(name, { order_id: undefined, certificate_id: undefined, quarry: undefined });
  }
  await file.patch({ account_id: undefined, quarry: undefined });
  return file.read();
}

/** An account as certificates name it. */
export const toIssuedBy = ({ name, directoryUrl }: Ca): IssuedBy => ({
  account: name,
  directory: directoryUrl,
});
