import { type Hidden, hideInReason } from './hidden.ts';

/** A position in the configuration; what does not apply is absent. */
export type Place = {
  file?: string | undefined;
  line?: number | undefined;
  section?: { name: string; label?: string | undefined } | undefined;
  option?: string | undefined;
  /** What came into the section, and is not to be told. */
  hidden?: readonly Hidden[] | undefined;
};

/** One line, `file:line: [section] option: reason`; errors and warnings share it. */
export function describeAt({ file, line, section, option, hidden = [] }: Place, reason: string): string {
  const where = file !== undefined && line ? `${file}:${line}` : file;
  const subject = [section && describeSection(section), option].filter(Boolean).join(' ');
  return [where, subject, hideInReason(reason, hidden)].filter(Boolean).join(': ').replace(/\s+/g, ' ');
}

/** A section as it is written in its heading: `[mgmt]`, `[auth "mail"]`. */
export function describeSection({ name, label }: { name: string; label?: string | undefined }): string {
  return label === undefined ? `[${name}]` : `[${name} "${label}"]`;
}

/**
 * The configuration cannot be used. The message is one line that is fit to be shown: it never holds a secret.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(place: Place, reason: string) {
    super(describeAt(place, reason));
  }
}
