import { readFile } from 'node:fs/promises';
import type { AcmeAccount } from '../../../shared/acme/client.ts';
import { type CaConnection, openCaConnection } from '../../../shared/acme/connection.ts';
import { systemClock } from '../../../shared/base/basics.ts';
import { describeError } from '../../../shared/base/errors.ts';
import { explainFileError } from '../../../shared/base/file-error.ts';
import { USER_AGENT } from '../../../shared/base/version.ts';
import type { Environment } from '../../../shared/config/environment.ts';
import { readProxy } from '../../../shared/config/proxy.ts';
import { readPrivateKey } from '../../../shared/pki/private-key.ts';
import { UsageError } from '../command.ts';
import type { Given } from '../form.ts';

/**
 * What each action of `quarry acme` speaks with the CA by; Ctrl-C ends the process, so the signal never
 * fires.
 */
type Session = { connection: CaConnection; signal: AbortSignal };

/**
 * Speaks with the CA that SERVER names, through the environment's proxy; `ACME_CAFILE` is what its HTTPS
 * certificate is checked with.
 */
export async function withSession<T>(
  given: Given,
  env: Environment,
  act: (session: Session) => Promise<T>,
): Promise<T> {
  const directoryUrl = toUrl(given, 'SERVER');
  const ca = env.ACME_CAFILE ? [await readText(env.ACME_CAFILE)] : undefined;
  const proxy = readProxy(env);
  using connection = openCaConnection({ directoryUrl, userAgent: USER_AGENT, clock: systemClock, ca, proxy });
  return await act({ connection, signal: new AbortController().signal });
}

/** Like `withSession`, as the account that KEY-FILE and ACCOUNT-ID name. */
export async function withAccount<T>(
  given: Given,
  env: Environment,
  act: (session: Session & { account: AcmeAccount }) => Promise<T>,
): Promise<T> {
  const account = { keyPem: await readKey(given.one('KEY-FILE')), url: toUrl(given, 'ACCOUNT-ID') };
  return await withSession(given, env, session => act({ ...session, account }));
}

/** @returns a private key's PEM; @throws Error with one line that names the file */
export async function readKey(path: string): Promise<string> {
  const pem = await readText(path);
  try {
    readPrivateKey(pem);
    return pem;
  } catch (error) {
    throw new Error(`${path}: ${describeError(error)}`);
  }
}

export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new Error(`${path} cannot be read: ${explainFileError(error)}`);
  }
}

/** The ids of ACME are URLs. */
export function toUrl(given: Given, name: string): string {
  const text = given.one(name);
  if (/^https?:/.test(text) && URL.canParse(text)) return text;
  throw new UsageError(`${name} is a URL, such as https://acme.example/…, and not ${JSON.stringify(text)}`);
}
