import type { Message } from '../../../shared/notify/message.ts';

export const at = Date.parse('2026-11-01T12:00:00Z');

/** As it is told of a renewal that failed. */
export const aMessage: Message = {
  ...{ id: 'm1-0', matter: 'm1', kind: 'renewal-failed', subject: 'stored/disk/4f', at },
  ...{ names: ['www.example.org', 'example.org'], detail: 'no responder could be reached' },
};
