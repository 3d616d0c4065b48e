import { defaultListeners, type Listener, readListeners } from '../config/listener.ts';
import type { SectionReader } from '../config/section-reader.ts';

/** tls-alpn-01, which the responders answer. */
export type TlsAlpn01Config = { name: string; type: 'tlsalpn01'; listeners: Listener[] };

export function parseTlsAlpn01(section: SectionReader): TlsAlpn01Config {
  const listeners = readListeners(section, ['listener'], defaultListeners(13_443, '0.0.0.0', '::'));
  section.finish();
  return { name: section.label, type: 'tlsalpn01', listeners };
}
