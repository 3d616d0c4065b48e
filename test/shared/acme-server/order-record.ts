import type { Order } from '../../../shared/acme-server/orders.ts';

/** An order as newOrder makes it, of a client that has proven its name before. */
export function orderRecord(more: Partial<Order> = {}): Order {
  const created = more.created ?? Date.parse('2026-11-27T12:00:00Z');
  return {
    ...{ id: 'order-1', account: 'account-1', status: 'ready', created, expires: created + 86_400_000 },
    ...{ block: 'web', client: '192.0.2.7', identifiers: [{ type: 'dns', value: 'a.example' }] },
    authorizations: [
      {
        status: 'valid',
        challenges: [{ type: 'dns-01', token: 'token', status: 'valid', validated: created }],
      },
    ],
    ...more,
  };
}
