import { readFile } from 'node:fs/promises';
import { openAcmeClient } from '../../shared/acme/client.ts';
import { openCaConnection } from '../../shared/acme/connection.ts';
import { systemClock as clock } from '../../shared/base/basics.ts';
import { openRedis } from '../../shared/base/open-redis.ts';
import { USER_AGENT } from '../../shared/base/version.ts';
import { openAccountDirectory } from '../../shared/ca/account-directory.ts';
import { newPollPaces } from '../../shared/ca/poll-paces.ts';
import { driveOrder } from '../../shared/order/drive-order.ts';
import type { DriveParts } from '../../shared/order/drive-parts.ts';
import { newCheckpoint } from '../../shared/order/next-step.ts';
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
  const { accounts, verifications } = await loadConfig([iniFile], {});
  const [config] = accounts.values();
  if (!config) throw new Error('no account is configured');
  const { signal } = new AbortController();
  const ca = [await readFile(caFile, 'utf8')];
  const connection = openCaConnection({ directoryUrl: config.acmeServer, userAgent: USER_AGENT, clock, ca });
  const account = await openAccountDirectory(connection, config, log, signal);
  const redis = openRedis({ url: redisUrl }, 'patient', log);
  const solvers = [
    ...openSolvers(verifications.values(), { store: { redis, prefix }, clock, log }).values(),
  ].filter(({ name }) => name === solverName);
  const parts: Omit<DriveParts, 'acme'> = {
    solvers,
    clock,
    paces: newPollPaces(),
    signal,
    save: async () => {},
    judge: async error => ({ do: 'fail', error }),
    longestWait: Number.POSITIVE_INFINITY,
  };
  return async ({ names, csr }) => {
    const acme = openAcmeClient(connection, account, signal);
    const identifiers = names.map(value => ({ type: 'dns' as const, value }));
    const task = { identifiers, csr: readCsr(Buffer.from(csr)).der };
    await driveOrder({ ...parts, acme }, task, newCheckpoint());
  };
}
