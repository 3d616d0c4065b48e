import { setFlagsFromString } from 'node:v8';
import { toTime } from '../../shared/base/to-time.ts';
import {
  type LastFetch,
  type ManagedCertificate,
  openRenewalIndex,
  type RenewalIndex,
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
    // V8 would let garbage grow to 200 MB where 20 are in use; how long a list takes matters less.
    setFlagsFromString('--optimize-for-size');
    using opened = await openFleetRedis(positionals, env);
    const format = values.json ? asJson : asText;
    let before = format.begin;
    for await (const part of readRenewals(openRenewalIndex(opened.store))) {
      await write(before + part.map(format.one).join(format.between));
      before = format.between;
    }
    await write(before === format.begin ? format.none : format.end);
  },
};

/** What stands around and between those that are listed, as they are written part by part. */
const asText = { begin: '', one: toText, between: '\n', end: '\n', none: 'nothing is renewed ahead\n' };
const asJson = { begin: '[\n', one: toJsonText, between: ',\n', end: '\n]\n', none: '[]\n' };

type Renewal = { managed: ManagedCertificate; fetched: LastFetch | undefined };

/** In parts, none of them empty. The soonest to expire comes first. */
async function* readRenewals(index: RenewalIndex): AsyncIterable<Renewal[]> {
  for await (const part of index.listByEnd()) {
    if (part.length === 0) continue;
    const fetches = await index.lastFetches(part.map(({ id }) => id));
    yield part.map((managed, at) => ({ managed, fetched: fetches[at] }));
  }
}

function toText({ managed, fetched }: Renewal): string {
  const { id, certificate, issuedBy, refused = [], names, notAfter, failures } = managed;
  const lines = [
    names.join(', ') || 'no names but in its CN',
    `    ${id}`,
    certificate === 'none'
      ? '    there is no certificate yet'
      : `    valid until ${toTime(notAfter)}${fetched ? `, last fetched ${toTime(fetched.at)} by "${fetched.block}"` : ''}`,
    ...(issuedBy ? [`    issued by account ${issuedBy.account}`] : []),
    ...refused.map(({ account, reason }) => `    not by account ${account}: ${reason}`),
    `    ${describePlan(managed)}`,
  ];
  if (failures) lines.push(`    last error, ${toTime(failures.last)}: ${failures.reason}`);
  return lines.join('\n');
}

function describePlan({ job, left, forced, plan }: ManagedCertificate): string {
  if (job) return `being renewed since ${toTime(job.since)}`;
  if (left) return 'not renewed, as no client has fetched it';
  if (forced) return 'renewed now, as an operator wants it';
  return `renewed ${toTime(plan.at)}: ${plan.why}`;
}

/** As an element of an array that is written with two spaces. */
function toJsonText(renewal: Renewal): string {
  return JSON.stringify(toJson(renewal), null, 2).replace(/^/gm, '  ');
}

/** Times as RFC 3339 has them. */
function toJson({ managed, fetched }: Renewal) {
  const { id, names, issuedBy, refused, notBefore, notAfter, plan, failures, job, left } = managed;
  return {
    id,
    names,
    account: issuedBy?.account ?? null,
    refused: refused ?? [],
    notBefore: toTime(notBefore),
    notAfter: toTime(notAfter),
    state: job ? 'renewing' : left ? 'left' : 'planned',
    renewal: toTime(plan.at),
    why: plan.why,
    lastFetch: fetched ? toTime(fetched.at) : null,
    lastError: failures
      ? { time: toTime(failures.last), attempts: failures.count, reason: failures.reason }
      : null,
  };
}
