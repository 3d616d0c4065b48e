import { readFile } from 'node:fs/promises';
import { openAccount } from '../../shared/acme/account.ts';
import { openCaConnection } from '../../shared/acme/ca-connection.ts';
import { openAcmeClient } from '../../shared/acme/client.ts';
import { systemClock as clock } from '../../shared/base/clock.ts';
import { openRedis } from '../../shared/base/redis.ts';
import { USER_AGENT } from '../../shared/base/version.ts';
import { advanceOrder } from '../../shared/order/advance-order.ts';
import { newOrderState, type OrderTask } from '../../shared/order/order-state.ts';
import type { OrderParts } from '../../shared/order/order-step.ts';
import { openPollPaces } from '../../shared/order/poll-pace.ts';
import { readCsr } from '../../shared/pki/csr.ts';
import { loadConfig } from '../../shared/setup/load-config.ts';
import { openSolvers } from '../../shared/solver/kinds.ts';
import { quietLog as log } from '../support/quiet-log.ts';
import type { ClientSpec } from './client-program.ts';
import { prefix, solverName } from './ground.ts';
import type { NamedCsr } from './named-csrs.ts';

/** Quarry's own transport and order engine, without intake, queue and saved state. */
export async function openDirectClient({
  iniFile,
  redisUrl,
  caFile,
}: ClientSpec): Promise<(csr: NamedCsr) => Promise<void>> {
  const { account: config, verifications } = await loadConfig([iniFile], {});
  const { signal } = new AbortController();
  const ca = [await readFile(caFile, 'utf8')];
  const connection = openCaConnection({ directoryUrl: config.acmeServer, userAgent: USER_AGENT, clock, ca });
  const account = await openAccount(connection, config, log, signal);
  const redis = openRedis(redisUrl, 'patient', log);
  const solvers = [
    ...openSolvers(verifications.values(), { store: { redis, prefix }, clock, log }).values(),
  ].filter(({ name }) => name === solverName);
  const paces = openPollPaces();
  return async ({ names, csr }) => {
    const acme = openAcmeClient(connection, account, signal);
    const identifiers = names.map(value => ({ type: 'dns' as const, value }));
    const task = { identifiers, csr: readCsr(Buffer.from(csr)).der };
    await driveOrder({ acme, solvers, clock, paces, signal }, task);
  };
}

async function driveOrder(parts: OrderParts, task: OrderTask): Promise<string> {
  let step = await advanceOrder(parts, task, newOrderState());
  while (step.next !== 'issued') {
    if (step.next === 'wait') await parts.clock.sleep(step.until - parts.clock.now());
    step = await advanceOrder(parts, task, step.state, step.next === 'continue' ? step.seen : undefined);
  }
  return step.chain;
}
