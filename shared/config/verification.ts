import { readBlockType } from './block-type.ts';
import { defaultListeners, type Listener, readListeners } from './listener.ts';
import type { SectionReader } from './section-reader.ts';

/** How challenges are answered; a union that grows with the kinds of solvers. */
export type VerificationConfig = { name: string; type: 'http01'; listeners: Listener[] };

const types = ['http01'] as const;

/** Stands in where none is defined. */
export const implicitVerification: VerificationConfig = {
  name: 'http01',
  type: 'http01',
  listeners: defaultListeners(1380, '0.0.0.0', '::'),
};

/** `[verification "name"]` */
export function parseVerification(section: SectionReader): VerificationConfig {
  const type = readBlockType(section, types, implicitVerification);
  const listeners = readListeners(section, ['listener'], implicitVerification.listeners);
  section.finish();
  return { name: section.label, type, listeners };
}
