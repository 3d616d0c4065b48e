import { canProve, type Identifier, toAddressSet } from '../base/identifier.ts';
import type { AuthBlockConfig } from './auth-section.ts';
import { withClientNames } from './client-certificate.ts';
import { compileGlob, type GlobToken, toAsciiLabels } from './glob-parts.ts';
import type { AdmissionMethod, AdmissionRequest, KnownClient } from './methods.ts';
import { type Lookups, openMethods } from './open-methods.ts';
import {
  CHANGED,
  deny,
  describeRefusal,
  describeStranger,
  describeUnprovable,
  WRONG_HMAC,
} from './refusal.ts';

/** An `[auth]` block that is ready to be asked; its clients and names have become functions. */
export type AuthBlock = Omit<
  AuthBlockConfig,
  'ips' | 'hmac' | 'all' | 'clientCerts' | 'domains' | 'addresses'
> & {
  /** All of them must hold. */
  methods: AdmissionMethod[];
  /** Whoever its client is: `{client}` stands for no name here. */
  mayHave(identifier: Identifier): boolean;
};

/** A block whose methods all hold for a request; its names may be narrowed to those of the client. */
export type AdmittingBlock = AuthBlock &
  Pick<KnownClient, 'by' | 'clientNames' | 'once' | 'bound'> & {
    /** Its clients may have different names. */
    narrowed?: true;
  };

/**
 * May this client have these names? This is asked in three steps, the cheap ones first; each throws `denied`
 * when no block remains. The words of a refusal reveal nothing of the configuration.
 */
export type Admission = {
  /** All of them, in the order in which they are tried. */
  readonly blocks: readonly AuthBlock[];
  /** Before the body is read: the blocks whose methods can still hold. */
  possible(request: AdmissionRequest): AuthBlock[];
  /**
   * With the body's bytes as posted, undefined where the request has none by its method: those of `blocks`
   * whose methods all hold, and who asks.
   *
   * @throws also IssuanceError `unavailable` where a method has to ask Redis, which cannot be reached
   */
  verified(
    blocks: AuthBlock[],
    request: AdmissionRequest,
    body: Buffer | undefined,
  ): Promise<AdmittingBlock[]>;
  /** The first of `blocks` that has every name; `undefined` where none has. */
  find<Block extends AuthBlock>(blocks: Block[], identifiers: Identifier[]): Block | undefined;
  /** Like `find`, but throws `denied` where none has. */
  holder<Block extends AuthBlock>(blocks: Block[], identifiers: Identifier[]): Block;
  /**
   * With the CSR read: like `holder`, and also refuses names that none of the block's verifications can
   * prove.
   */
  admit<Block extends AuthBlock>(blocks: Block[], identifiers: Identifier[]): Block;
};

const nobodyToAsk = () => Promise.reject(new Error('no request can be taken here'));

/** @param lookups needed where clients are verified */
export function openAdmission(
  configs: readonly AuthBlockConfig[],
  { takeOnce = nobodyToAsk, judgeToken = nobodyToAsk, isRevoked = nobodyToAsk }: Partial<Lookups> = {},
): Admission {
  const all = configs.map(config => openBlock(config, { takeOnce, judgeToken, isRevoked }));
  // A block without methods admits no client, which `every` alone would get wrong.
  const findPossible = (request: AdmissionRequest) =>
    all.filter(({ methods }) => methods.length > 0 && methods.every(method => method.possible(request)));
  return {
    blocks: all,
    possible: request => {
      const blocks = findPossible(request);
      return blocks.length > 0 ? blocks : deny(describeStranger(request, findPossible));
    },
    async verified(blocks, request, body) {
      const admitting: AdmittingBlock[] = [];
      let why = WRONG_HMAC;
      for (const block of blocks) {
        const found = await recognise(block, request, body);
        if (Array.isArray(found)) admitting.push(toAdmitting(block, found));
        else if (found) why = found.refused;
      }
      return atLeastOne(admitting, why);
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

function find<Block extends AuthBlock>(blocks: Block[], identifiers: Identifier[]): Block | undefined {
  return identifiers.length > 0 ? blocks.find(block => identifiers.every(block.mayHave)) : undefined;
}

function holder<Block extends AuthBlock>(blocks: Block[], identifiers: Identifier[]): Block {
  return find(blocks, identifiers) ?? deny(describeRefusal(blocks, identifiers));
}

function openBlock(config: AuthBlockConfig, lookups: Lookups): AuthBlock {
  const { ips, hmac, all, clientCerts = [], domains, addresses, ...rest } = config;
  const methods = openMethods(config, clientCerts.map(toDomainGlob), lookups);
  const globs = domains.map(toDomainGlob);
  const holdsAddress = toAddressSet(addresses);
  const mayHave = ({ type, value }: Identifier) =>
    type === 'dns' ? globs.some(matches => matches(value)) : holdsAddress(value);
  return { ...rest, methods, mayHave };
}

/** What all methods of a block know of the client; else what the first says that does not hold. */
async function recognise({ methods }: AuthBlock, request: AdmissionRequest, body: Buffer | undefined) {
  const known: KnownClient[] = [];
  for (const method of methods) {
    const held = method.holds(request, body);
    const verdict = held instanceof Promise ? await held : held; // most need not be waited for
    if (!verdict || 'refused' in verdict) return verdict;
    known.push(verdict);
  }
  return known.length > 0 ? known : undefined;
}

function toAdmitting(block: AuthBlock, known: KnownClient[]): AdmittingBlock {
  const by = known.map(one => one.by).join(', ');
  const narrower = known.flatMap(({ mayHave }) => mayHave ?? []);
  const clientNames = known.flatMap(one => one.clientNames ?? []);
  const once = known.find(one => one.once)?.once;
  const named = clientNames.length > 0 ? withClientNames(block, clientNames) : block;
  const isNarrowed = narrower.length > 0 || (block.ownNames ?? []).length > 0;
  return {
    ...named,
    by,
    ...(narrower.length > 0 && {
      mayHave: identifier => [named.mayHave, ...narrower].every(mayHave => mayHave(identifier)),
    }),
    ...(isNarrowed && { narrowed: true }),
    ...(clientNames.length > 0 && { clientNames }),
    ...(once && { once }),
    ...(known.some(({ bound }) => bound) && { bound: true as const }),
  };
}

type Blocks = ReadonlyMap<string, AuthBlock>;
type Client = { block: string; clientNames?: readonly string[] };

/** What a block has admitted before, and how it was to be ordered. */
type Admitted = Client & {
  identifiers: readonly Identifier[];
  accounts: readonly { account: string }[];
  verifications: readonly string[];
  storage?: string;
};

/** A block as it is configured today, for the client that it has admitted. */
export function blockToday(blocks: Blocks, { block: name, clientNames }: Client) {
  const block = blocks.get(name);
  return block && clientNames ? withClientNames(block, clientNames) : block;
}

/**
 * Judges again what a block has admitted, by the configuration of today.
 *
 * @returns why it does not admit that any more, in words for the client; `undefined` where it does
 */
export function findObjection(blocks: Blocks, admitted: Admitted): string | undefined {
  const block = blockToday(blocks, admitted);
  if (!block) return 'the auth block that admitted this is not configured any more';
  const { identifiers, accounts, verifications, storage = block.storage } = admitted;
  const refused = identifiers.find(identifier => !block.mayHave(identifier));
  if (refused) return `not admitted any more: ${refused.value}`;
  const orders = block.accounts.map(({ account }) => account);
  const isAsConfigured =
    storage === block.storage &&
    accounts.every(({ account }) => orders.includes(account)) &&
    verifications.every(name => block.verifications.includes(name));
  return isAsConfigured ? undefined : CHANGED;
}

function refuseUnprovable({ challenges }: AuthBlock, identifiers: Identifier[]): void {
  if (challenges.length === 0) return; // the CA may hold the names valid already
  const hopeless = identifiers.find(
    identifier => !challenges.some(challenge => canProve(challenge, identifier)),
  );
  if (hopeless) deny(describeUnprovable(hopeless, challenges));
}

function atLeastOne<Block>(blocks: Block[], otherwise: string): Block[] {
  return blocks.length > 0 ? blocks : deny(otherwise);
}

/**
 * Python's fnmatch, which macen's `domain` lines are written for: `*` any characters, dots too; `?` one;
 * `[seq]` one of these, with ranges; `[!seq]` any other; a `[` without end is itself. A wildcard name matches
 * only a glob that says so: `*.` in front, or `*` alone.
 *
 * @returns whether a lower-cased name of A-labels matches
 */
export function toDomainGlob(glob: string): (name: string) => boolean {
  const pattern = toAsciiLabels(glob.toLowerCase());
  const tokens = compileGlob(pattern);
  const takesWildcards = pattern === '*' || pattern.startsWith('*.');
  return name => (takesWildcards || !name.startsWith('*')) && matchTokens(tokens, name);
}

/** Whether a token that is no star is this character, or may be. */
export const takes = (token: GlobToken, character: string) =>
  typeof token === 'string' ? token === character : token(character);

/**
 * Matches by going back to the last star only, which is enough, as an earlier star could only take what the
 * last one can take too. So no name costs more steps than its length times the number of tokens.
 */
function matchTokens(tokens: readonly GlobToken[], name: string): boolean {
  let [at, token] = [0, 0];
  let star: { token: number; at: number } | undefined;
  while (at < name.length || token < tokens.length) {
    const wanted = tokens[token];
    if (wanted === 'star') {
      star = { token, at };
      token++;
    } else if (at < name.length && wanted !== undefined && takes(wanted, name.charAt(at))) {
      token++;
      at++;
    } else if (star && star.at < name.length) {
      star.at++;
      at = star.at;
      token = star.token + 1;
    } else {
      return false;
    }
  }
  return true;
}
