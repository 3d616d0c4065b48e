import { randomUUID } from 'node:crypto';
import { openSeals } from '../../shared/admission/hmac.ts';
import { openLog } from '../../shared/base/log.ts';
import type { Store } from '../../shared/base/redis.ts';
import { type InventoriedCertificate, openInventory } from '../../shared/inventory/inventory.ts';
import { encodePem } from '../../shared/pki/certificate.ts';
import { openRevokeQueue, type RevokeJobData, type RevokeResult } from '../../shared/queue/revoke-queue.ts';
import { isAgreedTo } from './agree.ts';
import { type Io, needFiles, splitWords, UsageError } from './command.ts';
import type { FleetWithSecret } from './fleet-redis.ts';
import { noteOperator, operator } from './operator-event.ts';

// What `quarry revoke` and `quarry forget` have in common: certificates of the inventory, and a job for each.

/** A worker may have to ask a CA again and again. */
const UNTIL_ENDED = 10 * 60_000;

/** @throws UsageError where it is not one name and a file at least */
export async function readName(command: string, words: string[]): Promise<{ name: string; files: string[] }> {
  const { names, files } = await splitWords(words);
  const [name, another] = names;
  if (name === undefined || another !== undefined)
    throw new UsageError(`give one name or serial number: quarry ${command} www.example.org main.ini`);
  return { name, files: needFiles(command, files) };
}

/** @throws Error in one line where there is none that is not revoked */
export async function findLiving(store: Store, nameOrSerial: string): Promise<InventoriedCertificate[]> {
  const found = await openInventory(store).find(nameOrSerial);
  const living = found.filter(({ revoked }) => revoked === undefined);
  if (living.length > 0) return living;
  const all = 'quarry certificates lists them all';
  throw new Error(
    found.length > 0
      ? `what is called ${nameOrSerial} is revoked already`
      : `no certificate is called ${JSON.stringify(nameOrSerial)}; ${all}`,
  );
}

/**
 * Shows the certificates and asks; several of them want `--all`, too, where nobody can be asked.
 *
 * @param what is to be done, and what is not done then: `to be revoked` and `nothing is revoked`
 * @throws UsageError
 */
export async function agreeOnAll(
  certificates: readonly InventoriedCertificate[],
  { all, yes }: { all?: boolean | undefined; yes?: boolean | undefined },
  what: { todo: string; otherwise: string },
  write: Io['write'],
): Promise<boolean> {
  const count = certificates.length === 1 ? '1 certificate is' : `${certificates.length} certificates are`;
  await write(`${count} ${what.todo}:\n${certificates.map(toLine).join('')}`);
  if (yes && certificates.length > 1 && !all)
    throw new UsageError(`${what.otherwise}, as there are several: say --all, or the serial number of one`);
  return yes || (await isAgreedTo(what.otherwise));
}

function toLine({ names, serial, notAfter, account, block }: InventoriedCertificate): string {
  const from = [...(account ? [`account ${account}`] : []), ...(block ? [`block "${block}"`] : [])];
  const end = new Date(notAfter).toISOString().slice(0, 10);
  return `    ${names.join(', ')}: serial ${serial}, until ${end}${from.map(one => `, ${one}`).join('')}\n`;
}

/**
 * Has a worker do it, one certificate after the other, each in the trail first.
 *
 * @throws Error in one line at the first that fails
 */
export async function endEach(
  { store, clock, secret }: Pick<FleetWithSecret, 'store' | 'clock' | 'secret'>,
  certificates: readonly InventoriedCertificate[],
  act: Pick<RevokeJobData, 'operator' | 'reason'> & { detail: string },
  onEnd: (certificate: InventoriedCertificate, result: RevokeResult) => void | Promise<void>,
): Promise<void> {
  const { log } = await openLog({ level: 'silent', destination: 'stderr', format: 'json' });
  await using queue = openRevokeQueue({ store, seals: openSeals(secret), clock, log });
  const { detail, ...job } = act;
  for (const certificate of certificates) {
    const { names, block, account, serial, fingerprint } = certificate;
    await noteOperator({ store, clock }, detail, { names, block, account, serial, fingerprint });
    const id = await queue.enqueue({ ...toJob(certificate), ...job });
    const result = await queue.result(id, AbortSignal.timeout(UNTIL_ENDED));
    if (!result) throw new Error(`no worker has done it for ${serial} yet; it goes on once one runs`);
    if (result.outcome === 'failed') throw new Error(`serial ${serial}: ${result.error.detail}`);
    await onEnd(certificate, result);
  }
}

function toJob({ leaf, names, block, account }: InventoriedCertificate): RevokeJobData {
  return {
    ...{ certificate: encodePem('CERTIFICATE', leaf), names: [...names], block: block ?? '' },
    ...{ accounts: account === undefined ? [] : [account], requestId: randomUUID(), by: operator() },
  };
}
