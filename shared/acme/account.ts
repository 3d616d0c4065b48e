import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createAtomically, readIfThere, writeAtomically } from '../base/atomic-file.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { generateKeyPem, readPrivateKey } from '../pki/key.ts';
import type { CaConnection } from './ca-connection.ts';
import type { AcmeAccount } from './client.ts';
import { readDirectory } from './directory.ts';
import { createAccount, findAccount, readTermsOfService } from './new-account.ts';
import type { AcmeResource } from './resource.ts';

export type AccountOptions = {
  /** Holds `account.pem` (PKCS#8) and `registration.json`, as macen lays them out. */
  dir: string;
  contact: string[];
  /** `true`: whatever the CA's terms are; a list: only terms with one of these URLs. */
  termsOfService: boolean | string[];
  eab?: { kid: string; hmacKey: string } | undefined;
  /** An account URL that the CA no longer knows, whatever the registration says. */
  lost?: string;
};

/**
 * Opens the account that a directory holds, making key and account where they are missing. Any number of processes may
 * do so at once over the same directory: one key file wins, and a CA has one account per key (RFC 8555 section 7.3).
 *
 * @throws IssuanceError `misconfigured` when the key is unusable or the terms are not accepted, else as the CA says
 */
export async function openAccount(
  connection: CaConnection,
  options: AccountOptions,
  log: Log,
  signal: AbortSignal,
): Promise<AcmeAccount> {
  const keyPem = await readOrCreateKey(options.dir, log);
  checkKey(keyPem, options.dir);
  const registered = await readAccountUrl(options.dir, log);
  const usable = registered !== undefined && registered !== options.lost;
  const { newAccount } = await readDirectory(connection, signal);
  if (usable && URL.parse(registered)?.host === URL.parse(`${newAccount}`)?.host)
    return { keyPem, url: registered };
  const found =
    (await findAccount(connection, keyPem, signal)) ??
    (await makeAccount(connection, keyPem, options, log, signal));
  const terms = (await readTermsOfService(connection, signal)) ?? null;
  const registration: Registration = { body: found.object, uri: found.url, terms_of_service: terms };
  const file = join(options.dir, 'registration.json');
  await writeAtomically(file, `${JSON.stringify(registration, null, 2)}\n`, 0o600);
  log.info({ account: registration.uri }, 'account ready');
  return { keyPem, url: registration.uri };
}

/** python-acme's RegistrationResource, which macen stores. */
type Registration = { body: unknown; uri: string; terms_of_service: string | null };

async function makeAccount(
  connection: CaConnection,
  keyPem: string,
  { contact, termsOfService, eab }: AccountOptions,
  log: Log,
  signal: AbortSignal,
): Promise<AcmeResource> {
  const terms = await readTermsOfService(connection, signal);
  if (terms && !accepts(termsOfService, terms)) {
    throw new IssuanceError(
      'misconfigured',
      `the CA's terms of service are not accepted: read ${terms} and set [account] accept-terms-of-service to yes or to this URL`,
    );
  }
  const { meta } = (await readDirectory(connection, signal)) as {
    meta?: { externalAccountRequired?: unknown } | null;
  };
  if (meta?.externalAccountRequired === true && !eab) {
    const what = 'eab-kid and eab-hmac-key, which the CA hands out on its own site';
    throw new IssuanceError(
      'misconfigured',
      `the CA wants an external account binding: set [account] ${what}`,
    );
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
 * The URL of the account that a directory holds, as its registration remembers it; `undefined` where none is made yet,
 * or where the registration is damaged, which the log is told.
 */
export async function readAccountUrl(dir: string, log: Log): Promise<string | undefined> {
  const file = join(dir, 'registration.json');
  const text = await readIfThere(file);
  if (text === undefined) return undefined;
  try {
    const { uri } = JSON.parse(text) as Partial<Registration>;
    if (typeof uri === 'string' && URL.canParse(uri)) return uri;
  } catch {
    // told below, the same way as a file without a URL
  }
  log.warn({ file }, 'registration is damaged, looking the account up by its key');
  return undefined;
}
