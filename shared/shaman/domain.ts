import type { KeyObject } from 'node:crypto';
import { IssuanceError } from '../base/errors.ts';
import { withdrawChallenges } from '../order/advance-order.ts';
import { newOrderState, type OrderState, type OrderTask } from '../order/order-state.ts';
import type { OrderParts } from '../order/order-step.ts';
import { makeCsr } from '../pki/make-csr.ts';
import { driveOrder } from '../renewal/drive-order.ts';
import { isDue } from '../renewal/renewal-window.ts';
import { saysAccountIsGone } from './account-is-gone.ts';
import { fetchCertificate, findMismatch, toHeld, updateCertificateFile } from './certificate.ts';
import { makeKeyFile, readKeyFile } from './key-file.ts';
import { planDomain, retryTime } from './plan-domain.ts';
import { type DomainEntry, inDirectory, keyFileOf, type ShamanRun } from './run.ts';
import { openSolversFor } from './solvers.ts';

/**
 * Brings one domain to where it has to be: a key, an order that is followed to its end, a certificate on disk that is
 * not yet to be renewed. Stopped anywhere, another run goes on from what `shaman.json` holds.
 *
 * @returns whether a certificate was issued
 */
export async function runDomain(run: ShamanRun, entry: DomainEntry): Promise<boolean> {
  const key = await openDomainKey(run, entry);
  const state = (await findOrder(run, entry)) ?? (await beginOrder(run, entry, key));
  if (!state) return false;
  await finishOrder(run, entry, key, state);
  return true;
}

async function openDomainKey({ file, log }: ShamanRun, entry: DomainEntry): Promise<KeyObject> {
  const { name, key, keyType } = entry.domain;
  if (key !== undefined) return (await readKeyFile(inDirectory(file, key))).key;
  const keyFile = keyFileOf(name);
  const ready = await makeKeyFile(inDirectory(file, keyFile), keyType);
  if (ready.made) log.info({ domain: name }, `${name}: key made: ${keyFile}`);
  await entry.change({ key: keyFile });
  return ready.key;
}

/** The order that `order_id` names, where it can still end well and is for the names that are wanted now. */
async function findOrder(run: ShamanRun, entry: DomainEntry): Promise<OrderState | undefined> {
  const { name, orderUrl, memory } = entry.domain;
  if (orderUrl === undefined) return undefined;
  const saved = memory.order?.url === orderUrl ? memory.order : undefined;
  // concorde's orders are for the name alone.
  const isForThese = sameNames(saved?.names ?? [entry.domain.identifiers[0]?.value], entry);
  if (isForThese && (await isGood(run, orderUrl))) return saved ?? { ...newOrderState(), url: orderUrl };
  run.log.info({ domain: name }, `${name}: order ${orderUrl} is of no use any more`);
  if (saved) await withdrawChallenges(partsOf(run, entry), saved);
  await entry.change({ orderUrl: undefined, memory: { order: undefined } });
  return undefined;
}

function sameNames(names: (string | undefined)[], { domain }: DomainEntry): boolean {
  const wanted = domain.identifiers.map(({ value }) => value);
  return wanted.length === names.length && wanted.every(value => names.includes(value));
}

async function isGood({ acme }: ShamanRun, url: string): Promise<boolean> {
  try {
    return (await acme.getOrder(url)).status !== 'invalid';
  } catch (error) {
    if (error instanceof IssuanceError && error.code === 'gone' && !saysAccountIsGone(error)) return false;
    throw error;
  }
}

/** @returns `undefined` where there is a certificate that is to be kept */
async function beginOrder(
  run: ShamanRun,
  entry: DomainEntry,
  key: KeyObject,
): Promise<OrderState | undefined> {
  const { domain } = entry;
  const { name } = domain;
  const reason = await whyOrder(run, entry, key);
  if (reason !== undefined) run.log.info({ domain: name }, `${name}: to be ordered: ${reason}`);
  return reason === undefined ? undefined : newOrderState();
}

/** Why a new certificate is wanted, in a few words; the one that is there is put on disk where it is to be kept. */
async function whyOrder(run: ShamanRun, entry: DomainEntry, key: KeyObject): Promise<string | undefined> {
  const { clock, nextRun, now } = run;
  const certificate = await fetchCertificate(run, entry);
  if (!certificate) return isTooSoon(run, entry) ? undefined : 'there is no certificate yet';
  const mismatch = findMismatch(certificate, entry, key);
  if (mismatch) return isTooSoon(run, entry) ? undefined : mismatch;
  await updateCertificateFile(run, entry, certificate.chain);
  const plan = await planDomain(run, entry, certificate);
  if (now) return 'it was asked for';
  if (isDue(plan, clock.now(), nextRun)) return plan.why;
  // Attempts in vain are of no interest any more where nobody would try now anyway.
  if (entry.domain.memory.failures && !isDue({ ...plan, at: plan.first }, clock.now(), nextRun)) {
    await entry.change({ memory: { failures: undefined } });
  }
  return undefined;
}

function isTooSoon({ patient, clock }: ShamanRun, { domain }: DomainEntry): boolean {
  const { failures } = domain.memory;
  return patient === true && failures !== undefined && clock.now() < retryTime(failures);
}

async function finishOrder(
  run: ShamanRun,
  entry: DomainEntry,
  key: KeyObject,
  from: OrderState,
): Promise<void> {
  const { gate, log, signal, accountUrl: account } = run;
  const { name, identifiers, certificateProfile, memory } = entry.domain;
  const names = identifiers.map(({ value }) => value);
  const replaces = memory.renewal?.named ? memory.renewal.id : undefined;
  const task: OrderTask = { identifiers, csr: await makeCsr(key, identifiers), certificateProfile, replaces };
  const order = { account, identifiers };
  const save = async (state: OrderState) => {
    const { url } = state;
    if (url === undefined) return; // before newOrder there is nothing to go on from
    if (entry.domain.orderUrl !== url) log.info({ domain: name }, `${name}: order ${url}`);
    await entry.change({ orderUrl: url, memory: { order: { ...state, url, names } } });
  };
  if (from.url === undefined) await gate?.before({ ...order, replaces });
  try {
    const { chain, certificate } = await driveOrder(partsOf(run, entry), task, from, save);
    await keepCertificate(run, entry, chain, certificate);
  } catch (error) {
    signal.throwIfAborted();
    throw gate ? await gate.failed(order, error) : error;
  }
  await gate?.issued(order);
}

/** The file first: whoever is stopped in between gets the same certificate once more from the order. */
async function keepCertificate(
  run: ShamanRun,
  entry: DomainEntry,
  chain: string,
  url: string,
): Promise<void> {
  await updateCertificateFile(run, entry, chain);
  const memory = { order: undefined, renewal: undefined, failures: undefined };
  await entry.change({ certificateUrl: url, orderUrl: undefined, memory });
  const held = toHeld(chain, true);
  const { name } = entry.domain;
  const until = new Date(held.leaf.notAfter).toISOString();
  run.log.info({ domain: name }, `${name}: certificate ${url}, valid until ${until}`);
  await planDomain(run, entry, held);
}

function partsOf(run: ShamanRun, { domain }: DomainEntry): OrderParts {
  const { acme, clock, signal, confirm, log } = run;
  const warn = (fault: string) => log.warn({ domain: domain.name }, `${domain.name}: ${fault}`);
  return { acme, solvers: openSolversFor(run, domain), clock, signal, confirm, warn };
}
