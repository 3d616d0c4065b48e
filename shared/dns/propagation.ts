import { describeError, IssuanceError } from '../base/errors.ts';
import { type DnsServer, formatServer } from './exchange.ts';
import { asking } from './query.ts';

/** One name server, with its name where that is known, and its addresses. */
export type ServerAddresses = { name?: string; addresses: DnsServer[] };

/**
 * Asks every one of the servers, at all of its addresses, whether it shows a TXT record.
 *
 * @param timeout milliseconds, for each question
 * @returns the fault of the first server that does not show it, in one line; `undefined` when all show it
 */
export async function findUnshown(
  record: { name: string; value: string },
  servers: readonly ServerAddresses[],
  timeout: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const faults = await Promise.all(
    servers.map(async ({ name, addresses }) => {
      const looks = await Promise.all(addresses.map(address => look(record, address, timeout, signal)));
      // A machine without IPv6 can still ask the same server at its IPv4 address.
      const reached = looks.filter(one => !one.unreachable);
      const { fault } = (reached.length > 0 ? reached : looks).find(one => one.fault !== undefined) ?? {};
      if (addresses.length === 0) return `no address of the name server ${name} is known`;
      return fault && (name === undefined ? fault : `name server ${name}: ${fault}`);
    }),
  );
  signal.throwIfAborted();
  return faults.find(fault => fault !== undefined);
}

type Look = { fault?: string; unreachable?: boolean };

async function look(
  { name, value }: { name: string; value: string },
  server: DnsServer,
  timeout: number,
  signal: AbortSignal,
): Promise<Look> {
  try {
    const { answers, authoritative, rcode } = await asking(server, { recursive: false, timeout })(
      name,
      'TXT',
      signal,
    );
    const shown = answers.some(
      record => record.type === 'TXT' && record.name === name && record.value === value,
    );
    if (shown) return {};
    const fault = authoritative
      ? `does not show the new record of ${name} yet`
      : `is not authoritative for ${name}`;
    return { fault: `${formatServer(server)} ${fault}${rcode === 'NOERROR' ? '' : ` (${rcode})`}` };
  } catch (error) {
    return { fault: describeError(error), unreachable: isNoWay(error) };
  }
}

/** Whether this machine has no route to the address. */
function isNoWay(error: unknown): boolean {
  const { code } = (error instanceof IssuanceError ? (error.cause ?? {}) : {}) as NodeJS.ErrnoException;
  return ['ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL'].includes(code ?? '');
}
