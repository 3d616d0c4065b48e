import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createAccount, findAccount } from '../acme/account.ts';
import type { AcmeAccount } from '../acme/client.ts';
import { type CaConnection, readDirectory } from '../acme/connection.ts';
import type { AcmeResource } from '../acme/resource.ts';
import { createAtomically, readIfThere, writeAtomically } from '../base/atomic-file.ts';
import { describeError, IssuanceError, type Log } from '../base/basics.ts';
import { generateKeyPem, readPrivateKey } from '../pki/private-key.ts';

export type AccountDirectory = {
  /** Holds `account.pem` (PKCS#8) and `registration.json`, as macen lays them out. */
  dir: string;
  contact: string[];
  /** `true`: whatever the CA's terms are; a list: only terms with one of these URLs. */
  termsOfService: boolean | string[];
  eab?: { kid: string; hmacKey: string } | undefined;
};

/**
 * Opens the account that a directory holds, making key and account where they are missing. Any number of
 * processes may do so at once over the same directory: one key file wins, and a CA has one account per key
 * (RFC 8555 section 7.3).
 *
 * @param lost an account URL that the CA no longer knows, whatever the registration says
 * @throws IssuanceError `misconfigured` when the key is unusable or the terms are not accepted, else as the
 *   CA says
 */
export async function openAccountDirectory(
  connection: CaConnection,
  config: AccountDirectory,
  log: Log,
  signal: AbortSignal,
  lost?: string,
): Promise<AcmeAccount> {
  const { dir } = config;
  const keyPem = await readOrCreateKey(dir, log);
  checkKey(keyPem, dir);
  const registered = await readAccountUrl(dir, log);
  const { urls, termsOfService: terms } = await readDirectory(connection, signal);
  const isOfThisCa = registered && URL.parse(registered)?.host === URL.parse(`${urls.newAccount}`)?.host;
  if (isOfThisCa && registered !== lost) return { keyPem, url: registered };
  const known = await findAccount(connection, keyPem, signal);
  const { url, object } = known ?? (await makeAccount(connection, keyPem, config, log, signal));
  const registration: Registration = { body: object, uri: url, terms_of_service: terms ?? null };
  const file = join(dir, 'registration.json');
  await writeAtomically(file, `${JSON.stringify(registration, null, 2)}\n`, 0o600);
  log.info({ account: url }, 'account ready');
  return { keyPem, url };
}

/** python-acme's RegistrationResource, which macen stores. */
type Registration = { body: unknown; uri: string; terms_of_service: string | null };

async function makeAccount(
  connection: CaConnection,
  keyPem: string,
  { contact, termsOfService, eab }: AccountDirectory,
  log: Log,
  signal: AbortSignal,
): Promise<AcmeResource> {
  const { termsOfService: terms, externalAccountRequired } = await readDirectory(connection, signal);
  if (terms && !accepts(termsOfService, terms)) {
    const option = 'set accept-terms-of-service to yes or to this URL';
    const detail = `the CA's terms of service are not accepted: read ${terms} and ${option}`;
    throw new IssuanceError('misconfigured', detail);
  }
  if (externalAccountRequired && !eab) {
    const what = 'eab-kid and eab-hmac-key, which the CA hands out on its own site';
    throw new IssuanceError('misconfigured', `the CA wants an external account binding: set ${what}`);
  }
  log.info({ terms }, 'making an account');
  return createAccount(
    connection,
    keyPem,
    { contact, termsOfServiceAgreed: terms !== undefined, eab },
    signal,
  );
}

function accepts(accepted: boolean | string[], terms: string): boolean {
  return Array.isArray(accepted) ? accepted.includes(terms) : accepted;
}

async function readOrCreateKey(dir: string, log: Log): Promise<string> {
  const file = join(dir, 'account.pem');
  const existing = await readIfThere(file);
  if (existing !== undefined) return existing;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const made = await createAtomically(file, await generateKeyPem('P-256'), 0o600);
  if (made) log.info({ file }, 'account key made');
  return readFile(file, 'utf8');
}

function checkKey(keyPem: string, dir: string): void {
  try {
    readPrivateKey(keyPem);
  } catch (error) {
    const detail = `${join(dir, 'account.pem')} holds no usable private key: ${describeError(error)}`;
    throw new IssuanceError('misconfigured', detail);
  }
}

/**
 * The URL of the account that a directory holds, as its registration remembers it; `undefined` where none is
 * made yet, or where the registration is damaged, which is logged.
 */
export async function readAccountUrl(dir: string, log: Log): Promise<string | undefined> {
  const file = join(dir, 'registration.json');
  const text = await readIfThere(file);
  if (text === undefined) return undefined;
  const uri = parseUri(text);
  if (uri === undefined) log.warn({ file }, 'registration is damaged, looking the account up by its key');
  return uri;
}

function parseUri(text: string): string | undefined {
  try {
    const { uri } = JSON.parse(text) as Partial<Registration>;
    return typeof uri === 'string' && URL.canParse(uri) ? uri : undefined;
  } catch {
    return undefined;
  }
}
