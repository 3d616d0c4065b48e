import { benchAcmeFinalize } from './acme-finalize.ts';
import { acmeServerBenchmark } from './acme-server.ts';
import type { Benchmark } from './benchmark.ts';
import { benchDnsResponder } from './dns-responder.ts';
import { drainSubject } from './drain.ts';
import { benchDue } from './due.ts';
import { benchFair } from './fair.ts';
import { benchFirstIndex } from './first-index.ts';
import { benchHeldClients } from './held-clients.ts';
import { hotOrdersBenchmark } from './hot-orders.ts';
import { benchInventory } from './inventory.ts';
import { benchListRenewals } from './list-renewals.ts';
import { ordersBenchmark } from './orders.ts';
import { benchQueueOverhead } from './queue-overhead.ts';
import { benchQueued } from './queued.ts';
import { benchRenewals } from './renewals.ts';
import { requestsBenchmark } from './requests.ts';
import { benchResponder } from './responder.ts';
import { benchRoles } from './roles.ts';
import { signBenchmark } from './sign.ts';
import { slowCaBenchmark } from './slow-ca.ts';
import { storageHit } from './storage-hit.ts';
import { benchTlsAlpn } from './tls-alpn.ts';
import { benchTrailVerify } from './trail-verify.ts';
import type { Plan } from './trials.ts';

/** By name; `plan` is of one that can be profiled. */
export const benchmarks: Record<string, Benchmark & { plan?: Plan }> = {
  'sign-1': signBenchmark({ clients: 1, orders: 32, rounds: 3 }),
  'sign-16': signBenchmark({ clients: 16, orders: 128, rounds: 3 }),
  'sign-64': signBenchmark({ clients: 64, orders: 184, rounds: 3 }),
  'orders-1': ordersBenchmark({ clients: 1, orders: 32, rounds: 3, pieces: 2 }),
  'orders-4': ordersBenchmark({ clients: 4, orders: 96, rounds: 3, pieces: 4 }),
  'orders-16': ordersBenchmark({ clients: 16, orders: 128, rounds: 3, pieces: 4 }),
  'orders-64': ordersBenchmark({ clients: 64, orders: 128, rounds: 3, pieces: 2 }),
  'orders-hot': hotOrdersBenchmark(false),
  'orders-real': hotOrdersBenchmark(true),
  'queue-overhead': { run: benchQueueOverhead },
  'queued-10000': { run: benchQueued, subject: drainSubject },
  fair: { run: benchFair },
  'requests-1': requestsBenchmark(1),
  'requests-3': requestsBenchmark(3),
  'slow-ca-1': slowCaBenchmark(1),
  'slow-ca-2': slowCaBenchmark(2),
  'slow-ca-4': slowCaBenchmark(4),
  'due-100000': { run: benchDue },
  'renewals-5000': { run: benchRenewals },
  'first-index': benchFirstIndex,
  'list-renewals': benchListRenewals,
  inventory: { run: benchInventory },
  'trail-verify': { run: benchTrailVerify },
  'storage-hit': storageHit('redis'),
  'storage-hit-file': storageHit('file'),
  'acme-nonce': acmeServerBenchmark('nonce'),
  'acme-new-order': acmeServerBenchmark('newOrder'),
  'acme-order': acmeServerBenchmark('order'),
  'acme-finalize': benchAcmeFinalize,
  responder: benchResponder,
  'dns-responder': benchDnsResponder,
  'tls-alpn': benchTlsAlpn,
  roles: benchRoles,
  'held-clients': benchHeldClients,
};
