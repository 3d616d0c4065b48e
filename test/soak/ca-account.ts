import type { ProxiedRequest } from '../support/fault-proxy.ts';

/** What the CAs were asked for, all of them together, by what came through their proxies. */
export type CaAccount = {
  requests: number;
  /** Orders that Pebble made. */
  newOrders: number;
  /** Those of which no worker can know: the answer was lost on its way. */
  unheardOrders: number;
  /** Those that were left for another CA, or that the CA forgot as it was killed. */
  leftOrders: number;
  /** Orders that Pebble has issued a certificate for. */
  issued: number;
  /** Orders for which Pebble saw more than one finalize. */
  finalizedTwice: string[];
  /** Requests that Pebble has not answered in ten seconds: it deadlocks under load. */
  unanswered: number;
};

const slowMs = 10_000;
/** No order takes longer, with all that befalls it. */
const orderLifeMs = 70_000;

/**
 * A CA, with all that came through its proxy and when its Pebble was killed, in milliseconds since the epoch.
 */
export type SeenCa = { requests: readonly ProxiedRequest[]; kills: readonly number[] };

export function accountForCas(cas: readonly SeenCa[]): CaAccount {
  const all = cas.map(accountForCa);
  const sum = (count: (one: (typeof all)[number]) => number) =>
    all.reduce((total, one) => total + count(one), 0);
  return {
    requests: sum(({ requests }) => requests),
    newOrders: sum(({ newOrders }) => newOrders.length),
    unheardOrders: sum(({ newOrders }) => newOrders.filter(isUnheard).length),
    leftOrders: cas.reduce((total, ca) => total + countLeft(ca, cas), 0),
    issued: sum(({ issued }) => issued),
    finalizedTwice: all.flatMap(({ finalizedTwice }) => finalizedTwice),
    unanswered: sum(({ unanswered }) => unanswered),
  };
}

function accountForCa({ requests }: SeenCa) {
  const orders = [...finalizesOf(requests).values()];
  const isOpen = ({ outcome, at }: ProxiedRequest) => outcome === 'open' && Date.now() - at > slowMs;
  return {
    requests: requests.length,
    newOrders: newOrdersIn(requests),
    issued: orders.filter(isIssued).length,
    finalizedTwice: orders.filter(sent => sent.length > 1).map(describe),
    unanswered: requests.filter(isOpen).length,
  };
}

const newOrdersIn = (requests: readonly ProxiedRequest[]) =>
  requests.filter(({ kind, pebbleStatus }) => kind === 'newOrder' && pebbleStatus === 201);

const isUnheard = ({ outcome }: ProxiedRequest) => outcome !== 'answered';

const finalizesOf = (requests: readonly ProxiedRequest[]) =>
  Map.groupBy(requests.filter(isSeenFinalize), ({ path }) => path);

const isIssued = (finalizes: ProxiedRequest[]) => finalizes.some(({ pebbleStatus }) => pebbleStatus === 200);

/**
 * Orders that came to nothing because another CA was asked for the same names, or because this one was killed
 * and remembers nothing.
 */
function countLeft(ca: SeenCa, cas: readonly SeenCa[]): number {
  const ours = Map.groupBy(newOrdersIn(ca.requests), namesOf);
  const issued = Map.groupBy([...finalizesOf(ca.requests).values()].filter(isIssued), ([one]) =>
    namesOf(one),
  );
  const others = cas.filter(one => one !== ca).flatMap(({ requests }) => newOrdersIn(requests));
  const elsewhere = Map.groupBy(others, namesOf);
  const isForgotten = ({ at }: ProxiedRequest) => ca.kills.some(kill => at < kill && at > kill - orderLifeMs);
  const count = ([names, orders]: [string, ProxiedRequest[]]) => {
    const unissued = orders.filter(one => !isUnheard(one)).length - (issued.get(names)?.length ?? 0);
    const explained = (elsewhere.get(names)?.length ?? 0) + orders.filter(isForgotten).length;
    return Math.max(0, Math.min(unissued, explained));
  };
  return [...ours].map(count).reduce((total, left) => total + left, 0);
}

const namesOf = (request: ProxiedRequest | undefined) =>
  `${request?.identifiers?.map(({ value }) => value).sort()}`;

/** A 400 is Pebble's badNonce: the request was not looked at, and has to be sent again. */
function isSeenFinalize({ kind, pebbleStatus }: ProxiedRequest): boolean {
  return kind === 'finalize' && pebbleStatus !== undefined && pebbleStatus !== 400;
}

function describe(finalizes: ProxiedRequest[]): string {
  const names = finalizes[0]?.identifiers?.map(({ value }) => value).join(',');
  const sent = finalizes.map(one => `${new Date(one.at).toISOString()} ${one.pebbleStatus} ${one.outcome}`);
  return `${names}: ${sent.join('; ')}`;
}
