import type { Environment } from '../../shared/config/environment.ts';
import {
  isRenewed,
  type LastFetch,
  type ManagedCertificate,
  openRenewalIndex,
} from '../../shared/renewal/renewal-index.ts';
import { type Command, readOptions } from './command.ts';
import { openFleetRedis } from './fleet-redis.ts';

/** `quarry renewals`: what Quarry renews by itself. */
export const renewalsCommand: Command = {
  usage: ['renewals [--json] [FILE…]'],
  summary:
    'what Quarry renews by itself, until when it is valid, when it is renewed and why then, and the last error',
  example: 'quarry renewals main.ini',
  async run(words, { env, write }) {
    const { values, positionals } = readOptions(words, { json: { type: 'boolean' } });
    const all = await readRenewals(positionals, env);
    if (values.json) return write(`${JSON.stringify(all.map(toJson), null, 2)}\n`);
    write(all.length > 0 ? `${all.map(toText).join('\n')}\n` : 'nothing is renewed ahead\n');
  },
};

type Renewal = { managed: ManagedCertificate; fetched: LastFetch | undefined };

/** The soonest to expire comes first. */
async function readRenewals(files: string[], env: Environment): Promise<Renewal[]> {
  using opened = await openFleetRedis(files, env);
  const index = openRenewalIndex(opened.store);
  const all = new Map<string, Renewal>(); // a part may come twice
  for await (const found of index.list()) {
    const part = found.filter(isRenewed);
    const fetches = await index.lastFetches(part.map(({ id }) => id));
    part.forEach((managed, at) => {
      all.set(managed.id, { managed, fetched: fetches[at] });
    });
  }
  return [...all.values()].sort((a, b) => a.managed.notAfter - b.managed.notAfter);
}

function toText({ managed, fetched }: Renewal): string {
  const { id, certificate, issuedBy, refused = [], names, notAfter, failures } = managed;
  const lines = [
    names.join(', '),
    `    ${id}`,
    certificate === 'none'
      ? '    there is no certificate yet'
      : `    valid until ${time(notAfter)}${fetched ? `, last fetched ${time(fetched.at)} by "${fetched.block}"` : ''}`,
    ...(issuedBy ? [`    issued by account ${issuedBy.account}`] : []),
    ...refused.map(({ account, reason }) => `    not by account ${account}: ${reason}`),
    `    ${describePlan(managed)}`,
  ];
  if (failures) lines.push(`    last error, ${time(failures.last)}: ${failures.reason}`);
  return lines.join('\n');
}

function describePlan({ job, left, forced, plan }: ManagedCertificate): string {
  if (job) return `being renewed since ${time(job.since)}`;
  if (left) return 'not renewed, as no client has fetched it';
  if (forced) return 'renewed now, as an operator wants it';
  return `renewed ${time(plan.at)}: ${plan.why}`;
}

/** Times as RFC 3339 has them. */
function toJson({ managed, fetched }: Renewal) {
  const { id, names, issuedBy, refused, notBefore, notAfter, plan, failures, job, left } = managed;
  return {
    id,
    names,
    account: issuedBy?.account ?? null,
    refused: refused ?? [],
    notBefore: time(notBefore),
    notAfter: time(notAfter),
    state: job ? 'renewing' : left ? 'left' : 'planned',
    renewal: time(plan.at),
    why: plan.why,
    lastFetch: fetched ? time(fetched.at) : null,
    lastError: failures
      ? { time: time(failures.last), attempts: failures.count, reason: failures.reason }
      : null,
  };
}

const time = (at: number) => new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');
