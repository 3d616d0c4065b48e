import { isDomainName } from '../base/host-name.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import type { DnsServer } from '../dns/exchange.ts';
import { parseDnsAddress } from './dns-server.ts';

/** What `draft` has to say: the one version that Quarry speaks. */
export const DRAFT = '01';

/** dns-persist-01: records that stand in the DNS for good (draft-ietf-acme-dns-persist). */
export type DnsPersistConfig = {
  name: string;
  type: 'dns-persist-01';
  /** What the CA calls itself in the records; where absent its directory is asked. */
  issuer?: string;
  /** DNS servers that look; the system's where empty. */
  resolvers: DnsServer[];
};

export function parseDnsPersist(section: SectionReader): DnsPersistConfig {
  const draft = section.one('draft', parseDraft);
  const issuer = section.one('issuer', parseIssuer);
  const resolvers = section.many('resolver', parseDnsAddress);
  section.finish();
  if (!draft) section.fail(`is missing: ${explanation}`, 'draft');
  return { name: section.label, type: 'dns-persist-01', ...(issuer && { issuer }), resolvers };
}

const explanation = `dns-persist-01 is a draft that still moves; write draft = ${DRAFT} to use it as draft-ietf-acme-dns-persist-${DRAFT} has it`;

const parseDraft: Parse<true> = (text, fail) => text === DRAFT || fail(`is not ${DRAFT}: ${explanation}`);

const parseIssuer: Parse<string> = (text, fail) =>
  isDomainName(text) ? text : fail('is not a domain name in lower case');
