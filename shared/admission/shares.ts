import { type Identifier, toAddressSet } from '../base/identifier.ts';
import type { Share } from '../limits/share.ts';
import { takes, toDomainGlob } from './admit.ts';
import type { AuthBlockConfig } from './auth-section.ts';
import { compileGlob, toAsciiLabels } from './glob-parts.ts';
import { REST } from './order-shares.ts';

/**
 * What a block may use of what a CA allows; `undefined` where it has nothing to divide with others.
 *
 * @param domains the registered domains of the identifiers
 */
type ShareOf = (
  order: { block: string; account: string; identifiers: readonly Identifier[] },
  domains: readonly string[],
) => Share | undefined;

/** A block, and what it may have names of; `part` is absent where it names no share. */
type Sharer = {
  name: string;
  part: number | undefined;
  orders: number | undefined;
  cas: ReadonlySet<string | undefined>;
  reaches(domain: string): boolean;
  mayHave(identifier: Identifier): boolean;
};

/**
 * Divides what CAs allow between auth blocks, as their shares say: an account's orders between all that order
 * from it, and a registered domain's or a set's certificates between those that can have them.
 *
 * @param caNames what the CA of each account is called, by the name of the account
 * @returns `undefined` where no block has a share
 */
export function openShares(
  configs: readonly AuthBlockConfig[],
  caNames: ReadonlyMap<string, string>,
): ShareOf | undefined {
  if (configs.every(({ share }) => share === undefined)) return undefined;
  const sharers = configs.map(config => toSharer(config, caNames));
  return ({ block, account, identifiers }, domains) => {
    const own = sharers.find(({ name }) => name === block);
    if (!own) return undefined;
    const rivals = sharers.filter(({ cas }) => cas.has(caNames.get(account)));
    const ofDomains = domains.flatMap((domain): [string, number][] => {
      const part = partBeside(
        own,
        rivals.filter(one => one.reaches(domain)),
      );
      return part === undefined ? [] : [[domain, part]];
    });
    const ofSet = groupsOf(rivals.filter(({ mayHave }) => identifiers.every(mayHave)));
    ofSet.delete(groupOf(own));
    return {
      name: groupOf(own),
      part: own.orders,
      domains: new Map(ofDomains),
      rivalsForSet: ofSet.size,
    };
  };
}

function toSharer(config: AuthBlockConfig, caNames: ReadonlyMap<string, string>): Sharer {
  const { name, share, domains, addresses, ownNames = [], accounts } = config;
  const globs = domains.map(toDomainGlob);
  const holdsAddress = toAddressSet(addresses);
  return {
    name,
    part: share?.name === name ? share.part : undefined,
    orders: share?.part,
    cas: new Set(accounts.map(({ account }) => caNames.get(account))),
    reaches: openReach(config),
    mayHave: ({ type, value }) =>
      ownNames.includes(type) ||
      (type === 'dns' ? globs.some(matches => matches(value)) : holdsAddress(value)),
  };
}

const groupOf = ({ name, part }: Sharer) => (part === undefined ? REST : name);
const groupsOf = (sharers: readonly Sharer[]) => new Set(sharers.map(groupOf));

/** What one of several that can use up the same may use of it; `undefined` where that is all. */
function partBeside(own: Sharer, rivals: readonly Sharer[]): number | undefined {
  const groups = groupsOf(rivals);
  groups.delete(groupOf(own));
  if (groups.size === 0) return undefined;
  const all = new Map([own, ...rivals].map(one => [groupOf(one), one.part ?? 0]));
  const given = [...all.values()].reduce((sum, part) => sum + part, 0);
  // Blocks of different accounts at one CA may have been given more than there is.
  return own.part === undefined ? Math.max(1 - given, 0) : own.part / Math.max(given, 1);
}

/** Whether a block may have names under a registered domain, as far as its globs tell. */
export function openReach({
  domains,
  addresses,
  ownNames = [],
}: AuthBlockConfig): (domain: string) => boolean {
  if (ownNames.includes('dns')) return () => true; // those of any client that has a certificate with them
  const globs = domains.map(glob => compileGlob(toAsciiLabels(glob.toLowerCase())));
  const holdsAddress = toAddressSet(addresses);
  return domain => globs.some(tokens => endsIn(tokens, domain)) || holdsAddress(domain);
}

/** Whether a glob matches a domain, or something that ends in a dot and the domain. */
function endsIn(tokens: ReturnType<typeof compileGlob>, domain: string): boolean {
  let at = tokens.length - 1;
  for (const character of [...domain].reverse()) {
    const token = tokens[at--];
    if (token === 'star') return true;
    if (token === undefined || !takes(token, character)) return false;
  }
  const before = tokens[at];
  return before === undefined || before === 'star' || takes(before, '.');
}
