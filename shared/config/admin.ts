import { defaultListeners, type Listener, readListeners } from './listener.ts';
import type { SectionReader } from './section-reader.ts';

/** Where health and metrics are served, to operators only. */
export type AdminConfig = { listeners: Listener[] };

/** `[admin]` */
export function parseAdmin(section: SectionReader): AdminConfig {
  const listeners = readListeners(section, ['listener'], defaultListeners(9313, '127.0.0.1'));
  section.finish();
  return { listeners };
}
