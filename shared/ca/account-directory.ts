import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { createAccount, findAccount } from '../acme/account.ts';
import { type AcmeAccount, openSigner } from '../acme/client.ts';
import { type CaConnection, readDirectory } from '../acme/connection.ts';
import { problemKind } from '../acme/problem.ts';
import type { AcmeResource } from '../acme/resource.ts';
import { createAtomically, readCreated, readIfThere, writeAtomically } from '../base/atomic-file.ts';
import type { Log } from '../base/basics.ts';
import { describeError, describeFileError, IssuanceError } from '../base/errors.ts';
import { explainFileError } from '../base/file-error.ts';
import { generateKeyPem, readPrivateKey } from '../pki/private-key.ts';
import { headingOf } from './account-section.ts';

export type AccountDirectory = {
  /** Of its section; absent where it has none. */
  name?: string;
  /** Holds `account.pem` (PKCS#8) and `registration.json`, as macen lays them out. */
  dir: string;
  contact: string[];
  /** `true`: whatever the CA's terms are; a list: only terms with one of these URLs. */
  termsOfService: boolean | string[];
  eab?: { kid: string; hmacKey: string } | undefined;
  /** Of a key that is still to be made; absent: EC. macen takes no other than RSA. */
  keyType?: 'rsa' | undefined;
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
  const keyPem = await readOrCreateKey(config, log);
  checkKey(keyPem, dir);
  const registered = await readRegistration(dir, log);
  const { urls, termsOfService: terms } = await readDirectory(connection, signal);
  const holder = {
    directory: connection.directoryUrl,
    thumbprint: openSigner(connection, { keyPem }, signal).key.thumbprint,
  };
  const isOurs = registered?.uri !== lost && isDeepStrictEqual(registered?.quarry, holder);
  if (registered && isOurs) return { keyPem, url: registered.uri };
  // In macen's files, and in those of older versions, nothing says whose the account is but the host.
  const isLikely = registered?.quarry === undefined && isAt(registered?.uri, urls.newAccount);
  const likely = isLikely && registered?.uri !== lost ? registered : undefined;
  const { url, object } = await findOrMake(connection, keyPem, config, log, { likely, signal });
  const made: Registration = { body: object, uri: url, terms_of_service: terms ?? null };
  await keepRegistration(dir, { ...(url === registered?.uri ? registered : made), quarry: holder }, log);
  return { keyPem, url };
}

const isAt = (url: string | undefined, resource: string | undefined) =>
  url !== undefined && URL.parse(url)?.host === URL.parse(`${resource}`)?.host;

/**
 * @param parts.likely the registration of a file that does not say whose it is: it counts where the CA has no
 *   better answer, as one that lets nobody look an account up by its key
 */
async function findOrMake(
  connection: CaConnection,
  keyPem: string,
  config: AccountDirectory,
  log: Log,
  { likely, signal }: { likely: Registration | undefined; signal: AbortSignal },
): Promise<AcmeResource> {
  try {
    const known = await findAccount(connection, keyPem, signal);
    return known ?? (await makeAccount(connection, keyPem, config, log, signal));
  } catch (error) {
    const refused = error instanceof IssuanceError && !['unavailable', 'rateLimited'].includes(error.code);
    if (!likely || !refused) throw error;
    log.warn({ account: likely.uri, reason: describeError(error) }, 'the account cannot be looked up');
    return { url: likely.uri, object: likely.body as AcmeResource['object'] };
  }
}

/**
 * Where it cannot be written, as on a disk that is only read, the account is looked up at each start; so is
 * one that the CA had lost, and that was made anew.
 */
async function keepRegistration(dir: string, registration: Registration, log: Log): Promise<void> {
  const file = join(dir, 'registration.json');
  try {
    await writeAtomically(file, `${JSON.stringify(registration, null, 2)}\n`, { mode: 0o600 });
  } catch (error) {
    log.warn(
      { file, reason: describeFileError(error) },
      'the registration cannot be written: the account is looked up by its key at each start',
    );
  }
  log.info({ account: registration.uri }, 'account ready');
}

/**
 * python-acme's RegistrationResource, which macen stores, and beside it, which macen passes over, whose the
 * account is: the URL of the CA's directory, and the thumbprint of the key (RFC 7638).
 */
type Registration = {
  body: unknown;
  uri: string;
  terms_of_service: string | null;
  quarry?: { directory: string; thumbprint: string };
};

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
  const wanted = { contact, termsOfServiceAgreed: terms !== undefined, eab };
  return createAccount(connection, keyPem, wanted, signal).catch(error => {
    throw adviseOnContact(error);
  });
}

function adviseOnContact(error: unknown): unknown {
  if (!(error instanceof IssuanceError) || !/Contact$/.test(problemKind(error.problem))) return error;
  const { code, problem, message } = error;
  return new IssuanceError(code, `${message}; correct contact in [account]`, { problem, cause: error });
}

function accepts(accepted: boolean | string[], terms: string): boolean {
  return Array.isArray(accepted) ? accepted.includes(terms) : accepted;
}

const keyTypes = { ec: 'P-256', rsa: 'RSA-2048' } as const;

async function readOrCreateKey({ name, dir, keyType }: AccountDirectory, log: Log): Promise<string> {
  const file = join(dir, 'account.pem');
  const existing = await readCreated(file).catch(error => failWith(name, `${file} cannot be read`, error));
  if (existing !== undefined) return existing;
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const made = await createAtomically(file, await generateKeyPem(keyTypes[keyType ?? 'ec']), 0o600);
    if (made) log.info({ file }, 'account key made');
    return (await readCreated(file)) ?? '';
  } catch (error) {
    return failWith(name, `${file} is absent and cannot be made`, error);
  }
}

/** What an operator has to mend, and not only to wait for. */
const lasting = ['EROFS', 'EACCES', 'EPERM', 'ENOTDIR', 'EISDIR', 'ELOOP', 'ENAMETOOLONG'];

function failWith(name: string | undefined, what: string, error: unknown): never {
  const code = lasting.includes((error as NodeJS.ErrnoException).code ?? '')
    ? 'misconfigured'
    : 'unavailable';
  const where = name === undefined ? '' : `${headingOf(name)} dir: `;
  throw new IssuanceError(code, `${where}${what}: ${explainFileError(error)}`);
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
  return (await readRegistration(dir, log))?.uri;
}

async function readRegistration(dir: string, log: Log): Promise<Registration | undefined> {
  const file = join(dir, 'registration.json');
  const text = await readIfThere(file);
  if (text === undefined) return undefined;
  const registration = parseRegistration(text);
  if (!registration) log.warn({ file }, 'registration is damaged, looking the account up by its key');
  return registration;
}

function parseRegistration(text: string): Registration | undefined {
  try {
    const registration = JSON.parse(text) as Registration;
    return typeof registration.uri === 'string' && URL.canParse(registration.uri) ? registration : undefined;
  } catch {
    return undefined;
  }
}
