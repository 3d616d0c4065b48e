import { defaultListeners, inWords, type Listener, readListeners } from './listener.ts';
import type { OptionRows } from './option-rows.ts';
import type { SectionReader } from './section-reader.ts';

/** Where health and metrics are served, to operators only. */
export type AdminConfig = { listeners: Listener[] };

const LISTENERS = defaultListeners(9313, '127.0.0.1');

/** Of `[admin]`. */
export const adminRows: OptionRows = {
  listener: {
    meaning:
      '`address:port` of [health and metrics](services/docs/operation.md#health-metrics-logs), for operators only',
    otherwise: inWords(LISTENERS),
  },
};

/** `[admin]` */
export function parseAdmin(section: SectionReader): AdminConfig {
  const listeners = readListeners(section, ['listener'], LISTENERS);
  section.finish();
  return { listeners };
}
