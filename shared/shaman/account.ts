import { createAccount, readTermsOfService } from '../acme/account.ts';
import type { AcmeAccount } from '../acme/client.ts';
import { type CaConnection, readDirectory } from '../acme/connection.ts';
import { IssuanceError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { ShamanFile } from './file.ts';
import { makeKeyFile, type ReadyKey, readKeyFile } from './key-file.ts';
import type { ShamanProfile } from './profile.ts';
import { inDirectory, keyFileOf } from './run.ts';

type AccountParts = { file: ShamanFile; connection: CaConnection; log: Log; signal: AbortSignal };

/**
 * The account of a profile, key and account made where they are missing. A CA has one account per key (RFC 8555 section
 * 7.3), so it does no harm to be stopped before its URL is noted.
 *
 * @param lost an account URL that the CA no longer knows
 * @throws IssuanceError `misconfigured` when the key is unusable or the CA wants an external binding, else as the CA says
 */
export async function openShamanAccount(
  parts: AccountParts,
  profile: ShamanProfile,
  lost?: string,
): Promise<AcmeAccount> {
  const { pem: keyPem } = await openAccountKey(parts, profile);
  const { accountUrl, contact, eab } = profile;
  if (accountUrl !== undefined && accountUrl !== lost) return { keyPem, url: accountUrl };
  const { connection, file, log, signal } = parts;
  const terms = await readTermsOfService(connection, signal);
  if (!eab && (await needsBinding(connection, signal))) {
    throw new IssuanceError(
      'misconfigured',
      `the CA wants an external account binding: set eab in ${file.path}`,
    );
  }
  // Whoever runs shaman over a profile agrees to the terms, as with concorde.
  const account = { contact, termsOfServiceAgreed: terms !== undefined, eab };
  const { url } = await createAccount(connection, keyPem, account, signal);
  log.info(`account ${url}${terms === undefined ? '' : `, which agrees to ${terms}`}`);
  await file.patch({ account_id: url, quarry: { account: { server: profile.server, url } } });
  return { keyPem, url };
}

async function needsBinding(connection: CaConnection, signal: AbortSignal): Promise<boolean> {
  const { meta } = (await readDirectory(connection, signal)) as {
    meta?: { externalAccountRequired?: unknown } | null;
  };
  return meta?.externalAccountRequired === true;
}

async function openAccountKey({ file, log }: AccountParts, { key }: ShamanProfile): Promise<ReadyKey> {
  if (key !== undefined) return readKeyFile(inDirectory(file, key));
  const name = keyFileOf('account');
  const ready = await makeKeyFile(inDirectory(file, name), 'P-384');
  if (ready.made) log.info(`account key made: ${name}`);
  await file.patch({ key: name });
  return ready;
}

/**
 * What one CA knows, another does not: where `server` was changed, account, orders and certificates are had anew, while
 * keys and the certificates on disk stay.
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
