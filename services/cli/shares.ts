import { getDomain } from 'tldts';
import type { AuthBlockConfig } from '../../shared/admission/auth-section.ts';
import { toAsciiLabels } from '../../shared/admission/glob-parts.ts';
import { openReach, openShares } from '../../shared/admission/shares.ts';
import { parseNumber, type Store } from '../../shared/base/redis.ts';
import { scanAll } from '../../shared/base/scan.ts';
import type { AccountConfig } from '../../shared/ca/account-section.ts';
import { describeSection } from '../../shared/config/config-error.ts';
import { leftOf } from '../../shared/limits/budget.ts';
import { caOf } from '../../shared/limits/limits.ts';
import { partOf } from '../../shared/limits/share.ts';
import type { Config } from '../../shared/setup/load-config.ts';

// How what the CAs allow is divided between auth blocks, for people.

type Divided = Pick<Config, 'auth' | 'accounts'>;

const caNamesOf = ({ accounts }: Divided) =>
  new Map([...accounts.values()].map(({ name, acmeServer }) => [name, caOf(acmeServer)]));

/** What is left of each share that the files give, and of those that Redis has of domains and sets. */
export async function describeShares(config: Divided, store: Store, now: number): Promise<string[]> {
  const orders = await Promise.all(ordersShared(config).map(one => describeOrders(one, store, now)));
  const shareOf = openShares(config.auth, caNamesOf(config));
  if (!shareOf) return orders;
  const start = `${store.prefix}:budget:`;
  const found: string[] = [];
  for await (const key of scanAll(store.redis, start, 'share/*/*/*')) found.push(key.slice(start.length));
  const lines = found.sort().map(async key => {
    const full = await readFull(store, key);
    return full > now ? [`${key}  ${describeCertificates(key, full, now, { config, shareOf })}`] : [];
  });
  return [...orders, ...(await Promise.all(lines)).flat()];
}

type OrdersShare = { name: string; part: number; account: AccountConfig };

/** Each share once, at each account whose orders are counted. */
function ordersShared({ auth, accounts }: Divided): OrdersShare[] {
  return [...accounts.values()].flatMap(account => {
    const blocks = auth.filter(block => block.accounts.some(choice => choice.account === account.name));
    const shares = new Map(blocks.flatMap(({ share }) => (share ? [[share.name, share.part]] : [])));
    return account.limits.orders ? [...shares].map(([name, part]) => ({ name, part, account })) : [];
  });
}

async function describeOrders({ name, part, account }: OrdersShare, store: Store, now: number) {
  const key = `share/${name}@${account.name}`;
  const rate = partOf(account.limits.orders, part) ?? { count: 0, period: 1 };
  return `${key}  ${leftOf(rate, await readFull(store, key), now)} of ${rate.count} orders left`;
}

async function readFull({ redis, prefix }: Store, key: string): Promise<number> {
  const text = await redis.get(`${prefix}:budget:${key}`);
  return text === null ? 0 : parseNumber(key, text);
}

/** The names of a set are not known by its key, and so not with how many it is shared. */
function describeCertificates(
  key: string,
  full: number,
  now: number,
  { config, shareOf }: { config: Divided; shareOf: NonNullable<ReturnType<typeof openShares>> },
): string {
  const [, name, domain = '', ca] = /^share\/(.*)\/domain\/([^/@]*)@(.*)$/s.exec(key) ?? [];
  const rates = config.auth.flatMap(block =>
    block.accounts.flatMap(({ account }) => {
      const { limits, acmeServer = '' } = config.accounts.get(account) ?? {};
      const share = shareOf({ block: block.name, account, identifiers: [] }, [domain]);
      const isMeant = share?.name === name && acmeServer !== '' && caOf(acmeServer) === ca;
      return (isMeant && partOf(limits?.certificatesPerDomain, share?.domains?.get(domain))) || [];
    }),
  );
  const [rate] = rates;
  if (rate) return `${leftOf(rate, full, now)} of ${rate.count} certificates left`;
  return `all certificates left by ${new Date(full).toISOString()}`;
}

/**
 * Where several auth blocks can use up for each other what a CA allows for a registered domain, and none of
 * them has a share. A limit that is not counted cannot be divided.
 */
export function describeUndivided({ auth, accounts }: Divided): string[] {
  const cas = Map.groupBy(
    [...accounts.values()].filter(({ limits }) => limits.certificatesPerDomain),
    ({ acmeServer }) => caOf(acmeServer),
  );
  const found = [...cas.values()].flatMap(ofCa => {
    const names = new Set(ofCa.map(({ name }) => name));
    return findUndivided(auth.filter(block => block.accounts.some(({ account }) => names.has(account))));
  });
  const together = Map.groupBy(found, ({ blocks }) => blocks.map(nameOf).join(', '));
  return [...together].map(([blocks, ofBlocks]) => {
    const domains = [...new Set(ofBlocks.map(({ domain }) => domain))];
    return `${blocks}: each of them can use up what the CA allows for ${listOf(domains)}, as none has a share`;
  });
}

const nameOf = ({ name }: AuthBlockConfig) => describeSection({ name: 'auth', label: name });
const MOST_LISTED = 3;
function listOf(domains: string[]): string {
  const more = domains.length - MOST_LISTED;
  return domains.slice(0, MOST_LISTED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

type Undivided = { domain: string; blocks: AuthBlockConfig[] };

/** At each domain that a glob names, or where a glob is wider than that, at an example of what it matches. */
function findUndivided(blocks: AuthBlockConfig[]): Undivided[] {
  const reaches = new Map(blocks.map(block => [block, openReach(block)]));
  const ends = new Set(blocks.flatMap(({ domains }) => domains.map(endOf)));
  return [...ends].flatMap(end => {
    const named = getDomain(end, { allowPrivateDomains: true });
    const domain = named ?? ['somebody', end].filter(label => label !== '').join('.');
    const rivals = blocks.filter(block => reaches.get(block)?.(domain));
    const said = named ?? `any domain${end === '' ? '' : ` of ${end}`}`;
    return rivals.length > 1 && rivals.every(({ share }) => !share) ? [{ domain: said, blocks: rivals }] : [];
  });
}

/** What is written out at the end of a glob. */
function endOf(glob: string): string {
  const [tail = ''] = /[^*?\]]*$/.exec(glob.toLowerCase()) ?? [];
  return toAsciiLabels(tail.replace(/^\./, ''));
}
