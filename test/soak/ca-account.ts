import type { ProxiedRequest } from '../support/fault-proxy.ts';

/** What the CA was asked for, by what came through the proxy. */
export type CaAccount = {
  requests: number;
  /** Orders that Pebble made. */
  newOrders: number;
  /** Those of which no worker can know: the answer was lost on its way. */
  unheardOrders: number;
  /** Orders that Pebble has issued a certificate for. */
  issued: number;
  /** Orders for which Pebble saw more than one finalize. */
  finalizedTwice: string[];
  /** Requests that Pebble has not answered in ten seconds: it deadlocks under load. */
  unanswered: number;
};

const slowMs = 10_000;

export function accountForCa(requests: readonly ProxiedRequest[]): CaAccount {
  const newOrders = requests.filter(({ kind, pebbleStatus }) => kind === 'newOrder' && pebbleStatus === 201);
  const finalizes = new Map<string, ProxiedRequest[]>();
  for (const request of requests.filter(isSeenFinalize)) {
    finalizes.set(request.path, [...(finalizes.get(request.path) ?? []), request]);
  }
  const orders = [...finalizes.values()];
  const isOpen = ({ outcome, at }: ProxiedRequest) => outcome === 'open' && Date.now() - at > slowMs;
  return {
    requests: requests.length,
    newOrders: newOrders.length,
    unheardOrders: newOrders.filter(({ outcome }) => outcome !== 'answered').length,
    issued: orders.filter(sent => sent.some(({ pebbleStatus }) => pebbleStatus === 200)).length,
    finalizedTwice: orders.filter(sent => sent.length > 1).map(describe),
    unanswered: requests.filter(isOpen).length,
  };
}

/** A 400 is Pebble's badNonce: the request was not looked at, and has to be sent again. */
function isSeenFinalize({ kind, pebbleStatus }: ProxiedRequest): boolean {
  return kind === 'finalize' && pebbleStatus !== undefined && pebbleStatus !== 400;
}

function describe(finalizes: ProxiedRequest[]): string {
  const names = finalizes[0]?.identifiers?.map(({ value }) => value).join(',');
  const sent = finalizes.map(one => `${new Date(one.at).toISOString()} ${one.pebbleStatus} ${one.outcome}`);
  return `${names}: ${sent.join('; ')}`;
}
