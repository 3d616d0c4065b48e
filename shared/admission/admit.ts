import { toAddressSet } from '../base/address.ts';
import { IssuanceError } from '../base/errors.ts';
import { type ChallengeType, canProve, type Identifier } from '../pki/identifier.ts';
import { allMethod } from './all.ts';
import type { AuthBlockConfig } from './auth-section.ts';
import { toDomainGlob } from './domain-glob.ts';
import { hmacMethod } from './hmac.ts';
import { clientIpMethod } from './ip.ts';
import type { AdmissionMethod, AdmissionRequest } from './method.ts';
import type { OrderShare } from './order-shares.ts';

/** An `[auth]` block, ready to be asked. */
export type AuthBlock = {
  name: string;
  /** Names of solvers in the order of preference, and what they answer. */
  verifications: string[];
  challenges: ChallengeType[];
  storage: string;
  certificateProfile?: string;
  preferredChain?: string;
  share?: OrderShare;
  /** All of them must hold. */
  methods: AdmissionMethod[];
  mayHave(identifier: Identifier): boolean;
};

/**
 * May this client have these names? Asked in three steps, the cheap ones first; each throws `denied` when no block is
 * left. What is told to the client holds nothing of the configuration.
 */
export type Admission = {
  /** All of them, in the order in which they are tried. */
  readonly blocks: readonly AuthBlock[];
  /** Before the body is read: the blocks whose methods can still hold. */
  possible(request: AdmissionRequest): AuthBlock[];
  /** With the body's bytes as posted: those of `blocks` whose methods all hold. */
  verified(blocks: AuthBlock[], request: AdmissionRequest, message: Buffer): AuthBlock[];
  /** The first of `blocks` that has every name; `undefined` where none has. */
  find(blocks: AuthBlock[], identifiers: Identifier[]): AuthBlock | undefined;
  /** Like `find`, but a refusal where none has. */
  holder(blocks: AuthBlock[], identifiers: Identifier[]): AuthBlock;
  /** With the CSR read: like `holder`, but a refusal also of names that none of the block's verifications can prove. */
  admit(blocks: AuthBlock[], identifiers: Identifier[]): AuthBlock;
};

export function openAdmission(configs: readonly AuthBlockConfig[]): Admission {
  const all = configs.map(openBlock);
  return {
    blocks: all,
    possible: request => {
      const blocks = all.filter(({ methods }) => holdAll(methods, method => method.possible(request)));
      const hint = request.claim ? '' : ' without an HMAC in an Authentication header';
      return atLeastOne(blocks, `no auth block admits ${request.clientIp}${hint}`);
    },
    verified: (blocks, request, message) => {
      const left = blocks.filter(({ methods }) => holdAll(methods, method => method.holds(request, message)));
      return atLeastOne(left, 'the HMAC does not match');
    },
    find,
    holder,
    admit(blocks, identifiers) {
      const block = holder(blocks, identifiers);
      refuseUnprovable(block, identifiers);
      return block;
    },
  };
}

function find(blocks: AuthBlock[], identifiers: Identifier[]): AuthBlock | undefined {
  return identifiers.length > 0 ? blocks.find(block => identifiers.every(block.mayHave)) : undefined;
}

function holder(blocks: AuthBlock[], identifiers: Identifier[]): AuthBlock {
  return find(blocks, identifiers) ?? deny(describeRefusal(blocks, identifiers));
}

function openBlock(config: AuthBlockConfig): AuthBlock {
  const { ips, hmac, all, domains, addresses, ...rest } = config;
  const methods: AdmissionMethod[] = [];
  if (ips.length > 0) methods.push(clientIpMethod(ips));
  if (hmac) methods.push(hmacMethod(hmac));
  if (all) methods.push(allMethod);
  const globs = domains.map(toDomainGlob);
  const holdsAddress = toAddressSet(addresses);
  const mayHave = ({ type, value }: Identifier) =>
    type === 'dns' ? globs.some(matches => matches(value)) : holdsAddress(value);
  return { ...rest, methods, mayHave };
}

/** A block without methods admits nobody, which `every` alone would get wrong. */
function holdAll(methods: AdmissionMethod[], holds: (method: AdmissionMethod) => boolean): boolean {
  return methods.length > 0 && methods.every(holds);
}

function describeRefusal(blocks: AuthBlock[], identifiers: Identifier[]): string {
  if (identifiers.length === 0) return 'there are no names to admit';
  const refused = identifiers.find(identifier => !blocks.some(block => block.mayHave(identifier)));
  return refused
    ? `not admitted: ${refused.value}`
    : 'not admitted together: no auth block has all of these names';
}

function refuseUnprovable({ challenges }: AuthBlock, identifiers: Identifier[]): void {
  if (challenges.length === 0) return; // the CA may hold the names valid already
  const hopeless = identifiers.find(
    identifier => !challenges.some(challenge => canProve(challenge, identifier)),
  );
  if (!hopeless) return;
  const wanted = hopeless.type === 'ip' ? 'http-01 or tls-alpn-01' : 'dns-01';
  deny(
    `not possible for ${hopeless.value}: it takes ${wanted}, and there is only ${challenges.join(', ')} for it`,
  );
}

function atLeastOne(blocks: AuthBlock[], otherwise: string): AuthBlock[] {
  return blocks.length > 0 ? blocks : deny(otherwise);
}

function deny(detail: string): never {
  throw new IssuanceError('denied', detail);
}
