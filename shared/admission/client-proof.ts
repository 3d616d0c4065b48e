import { cidrCovers } from '../base/identifier.ts';
import { isReserved } from '../base/reserved-addresses.ts';
import { parseCidr } from '../config/cidr.ts';
import { parseList } from '../config/option-values.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import type { AdmissionMethod, AdmissionRequest } from './methods.ts';

/** What an ACME client answers itself (RFC 8555 section 8, RFC 8737). */
export const clientChallenges = ['http-01', 'dns-01', 'tls-alpn-01'] as const;
export const proofTypes = ['address', ...clientChallenges] as const;

/** `address`: the name leads to the client; the others are what an ACME client answers itself. */
export type ProofType = (typeof proofTypes)[number];

/** What an ACME client shows to prove a name. */
export type ClientChallenge = (typeof clientChallenges)[number];

/** What the clients of an auth block have to prove of their names to Quarry, before it orders for them. */
export type ClientProof = {
  /** Any one of them will do; at least one. */
  types: ProofType[];
  /** CIDRs of addresses that are not public, and that names may lead to all the same. */
  networks: string[];
};

/** Reads it out of `[auth "name"]`; `undefined` where nothing is to be proven, as in macen's files. */
export function parseClientProof(
  section: SectionReader,
  { ips, addresses }: { ips: readonly string[]; addresses: readonly string[] },
): ClientProof | undefined {
  const types = section.many('client-proof', parseList(parseProofType)).flat();
  const networks = section.many('client-proof-network', parseCidr);
  if (types.length === 0 && networks.length > 0)
    section.fail('needs client-proof beside it', 'client-proof-network');
  if (types.length === 0) return undefined;
  const proof = { types: [...new Set(types)], networks };
  if (addresses.length > 0 && types.every(type => type === 'dns-01'))
    section.warn('proves no addresses: that takes address, http-01 or tls-alpn-01', 'client-proof');
  const hidden = ips.find(ip => isHidden(ip) && !networks.some(network => cidrCovers(network, ip)));
  if (types.includes('address') && hidden !== undefined)
    section.warn(
      `proves nothing for ${hidden}, which is not public: client-proof-network is to have it`,
      'ip',
    );
  return proof;
}

const parseProofType: Parse<ProofType> = (text, fail) =>
  proofTypes.find(type => type === text.toLowerCase()) ?? fail(`is none of ${proofTypes.join(', ')}`);

const isHidden = (cidr: string) => isReserved(cidr.replace(/\/.*/, ''));

/** Only an account at Quarry has anything to prove a name with. */
export const canProveNames = (request: AdmissionRequest) => 'binding' in request;

/** The methods of a block whose clients have to prove their names, which posts to /sign cannot. */
export const forProvers = (methods: AdmissionMethod[]): AdmissionMethod[] =>
  methods.map(({ possible, holds }) => ({
    possible: request => canProveNames(request) && possible(request),
    holds,
  }));
