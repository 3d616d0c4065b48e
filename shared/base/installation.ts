import { createHmac, createPrivateKey, hkdfSync, randomBytes } from 'node:crypto';
import { access, constants, mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createAtomically, readCreated, readIfThere } from './atomic-file.ts';
import type { Clock, Log } from './basics.ts';
import { describeFileError } from './errors.ts';
import { explainFileError } from './file-error.ts';
import { untilRedisAnswers } from './outages.ts';
import { needingRedis, type Store } from './redis.ts';

// The secret of an installation, which its roles know and Redis does not: see installation.md.

/** Characters; `openssl rand -hex 32` makes twice as many. */
const SHORTEST = 32;
const BYTES_MADE = 32;
const ASK_AGAIN = 100;
/** Others than the owner and its group may read or write it. */
const OPEN_TO_OTHERS = 0o006;

/** `exposed`: to other users of the machine; `derived`: from the account key, as there is no file. */
type SecretFile = { secret: Buffer; exposed: boolean; derived?: true };

/**
 * Reads the secret, and makes it where it is absent. Any number of processes may do so at once: the first one
 * wins, and all of them read the same.
 *
 * @returns its bytes, for HMACs
 * @throws Error in one line when it can neither be read nor be made, or is too short
 */
export async function openSecret(file: string, log: Log): Promise<Buffer> {
  const found = (await readSecret(file)) ?? (await makeSecret(file, log));
  if (found.exposed) log.warn({ file }, EXPOSED);
  if (found.derived) log.info({ file }, 'no secret can be made here: the account key beside it gives one');
  return found.secret;
}

/**
 * Reads the secret for a command, which makes none: one that no role has would be of no use.
 *
 * @throws Error in one line where it is absent, or cannot be used
 */
export async function readSecretOfRoles(file: string): Promise<Buffer> {
  const found = await readSecret(file);
  if (found) return found.secret;
  throw new Error(
    `[mgmt] secret-file: the secret of the installation, ${file}, is not here: run this where a role has it`,
  );
}

/** What an operator should know of the file, without making it; `undefined` where all is well. */
export async function findSecretFault(file: string): Promise<string | undefined> {
  try {
    return (await readSecret(file))?.exposed ? EXPOSED : undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

const EXPOSED =
  '[mgmt] secret-file: every user of this machine can read or change the secret of the installation: chmod 600';

async function readSecret(file: string): Promise<SecretFile | undefined> {
  try {
    const text = await readCreated(file);
    if (text === undefined) return await deriveSecret(dirname(file));
    const { mode } = await stat(file);
    return { secret: toSecret(file, text.trim()), exposed: (mode & OPEN_TO_OTHERS) !== 0 };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new Error(
      `[mgmt] secret-file: the secret of the installation, ${file}, cannot be read: ${explainFileError(error)}`,
    );
  }
}

/**
 * In a directory that is only read, as a secret of Kubernetes, who has the account key has what it gives: the
 * same for all roles there.
 *
 * @returns `undefined` where a secret can be made, or there is no key
 */
async function deriveSecret(folder: string): Promise<SecretFile | undefined> {
  const isReadOnly = await access(folder, constants.W_OK).then(
    () => false,
    error => ['EROFS', 'EACCES', 'EPERM'].includes(error.code),
  );
  const pem = isReadOnly ? await readIfThere(join(folder, 'account.pem')) : undefined;
  if (pem === undefined) return undefined;
  const key = createPrivateKey(pem).export({ format: 'der', type: 'pkcs8' });
  const bytes = hkdfSync('sha256', key, '', 'quarry installation', BYTES_MADE);
  return { secret: Buffer.from(Buffer.from(bytes).toString('hex')), exposed: false, derived: true };
}

function toSecret(file: string, text: string): Buffer {
  if (text.length >= SHORTEST) return Buffer.from(text);
  const advice = `at least ${SHORTEST} are needed, such as openssl rand -hex 32 makes`;
  throw new Error(
    `[mgmt] secret-file: the secret of the installation, ${file}, has ${text.length} characters: ${advice}`,
  );
}

async function makeSecret(file: string, log: Log): Promise<SecretFile> {
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const made = await createAtomically(file, `${randomBytes(BYTES_MADE).toString('hex')}\n`, 0o600);
    if (made) log.info({ file }, 'secret of the installation made; the roles on other machines need a copy');
  } catch (error) {
    const advice = 'copy it from where another role runs, or name another';
    const why = describeFileError(error);
    throw new Error(
      `[mgmt] secret-file: the secret of the installation, ${file}, is absent and cannot be made: ${why}; ${advice}`,
    );
  }
  const made = await readSecret(file);
  if (!made)
    throw new Error(
      `[mgmt] secret-file: the secret of the installation, ${file}, leads to where there is none`,
    );
  return made;
}

const fingerprintKey = (prefix: string) => `${prefix}:installation`;

/** Tells nothing of the secret. */
const fingerprintOf = (secret: Buffer) =>
  createHmac('sha256', secret).update('quarry fingerprint').digest('hex').slice(0, 32);

/**
 * Finds out whether the roles that share a Redis share the secret, too: the first one leaves its fingerprint
 * there. Asks until Redis answers.
 *
 * @throws Error in one line when another secret's is there; the signal's reason
 */
export async function requireSameSecret(
  { redis, prefix }: Store,
  { secret, file }: { secret: Buffer; file: string },
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const key = fingerprintKey(prefix);
  const own = fingerprintOf(secret);
  let found: string | null = null;
  while (found === null) {
    await untilRedisAnswers(redis, clock, signal);
    found = await leaveOrRead(redis, key, own).catch(() => null);
    if (found === null) await clock.sleep(ASK_AGAIN, signal);
  }
  if (found !== own) throw anotherSecret(file, key);
}

/**
 * For a command: like `requireSameSecret`, but leaves no fingerprint, which would keep out roles that have
 * another secret.
 *
 * @throws also IssuanceError `unavailable` when Redis cannot be reached
 */
export async function refuseOtherSecret(
  { redis, prefix }: Store,
  { secret, file }: { secret: Buffer; file: string },
): Promise<void> {
  const key = fingerprintKey(prefix);
  const found = await needingRedis(() => redis.get(key));
  if (found !== null && found !== fingerprintOf(secret)) throw anotherSecret(file, key);
}

const anotherSecret = (file: string, key: string) =>
  new Error(
    `${file} is not the secret of the installation that uses this Redis: copy the file of its other roles ` +
      `here, or, where that is lost, stop them all and delete ${key} in Redis`,
  );

/** A Redis that has no memory left still reads. */
async function leaveOrRead(redis: Store['redis'], key: string, own: string): Promise<string | null> {
  const found = await redis.get(key);
  if (found !== null) return found;
  await redis.set(key, own, 'NX');
  return redis.get(key);
}
