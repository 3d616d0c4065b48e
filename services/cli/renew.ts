import { hastenTask } from '../../shared/queue/schedule.ts';
import {
  isRenewed,
  type ManagedCertificate,
  openRenewalIndex,
  type RenewalIndex,
} from '../../shared/renewal/renewal-index.ts';
import { placeOf } from '../../shared/renewal/stored-renewals.ts';
import { type Command, readWords, UsageError } from './command.ts';
import { type FleetRedis, openFleetRedis } from './fleet-redis.ts';
import { noteOperator } from './operator-event.ts';

const LOOK = 500;
const UNTIL_TAKEN_UP = 60_000;
const UNTIL_RENEWED = 10 * 60_000;

/** `quarry renew`: does now what the scheduler would do at its time, and waits for it. */
export const renewCommand: Command = {
  usage: ['renew NAME [FILE…]'],
  summary:
    'renews now what Quarry renews by itself: NAME is one of its names, of a [renewal] block, or an id as quarry renewals shows it',
  example: 'quarry renew www.example.org main.ini',
  async run(words, { env, write }) {
    const [name, ...files] = readWords(words);
    if (name === undefined) throw new UsageError('give a name: quarry renew www.example.org main.ini');
    using opened = await openFleetRedis(files, env);
    const index = openRenewalIndex(opened.store);
    const found = await findByName(index, name);
    for (const { id, names } of found) await noteOperator(opened, `renew ${id}`, { names });
    const ended = await Promise.all(found.map(managed => renew(opened, index, managed)));
    for (const { names, end } of ended)
      write(`renewed: ${names.join(', ')}, valid until ${new Date(end).toISOString()}\n`);
  },
};

/** @throws Error in one line, with what to do, where nothing of that name is renewed */
async function findByName(index: RenewalIndex, name: string): Promise<ManagedCertificate[]> {
  const called = new Map<string, ManagedCertificate>();
  const nameless = new Set<string>();
  for await (const part of index.list()) {
    for (const one of part) {
      if (one.id === name || one.names.includes(name.toLowerCase()) || one.id.startsWith(`profile/${name}/`))
        called.set(one.id, one);
      if (one.names.length === 0 && isRenewed(one)) nameless.add(one.id);
    }
  }
  const found = [...called.values()].filter(isRenewed);
  if (found.length > 0) return found;
  throw new Error(whyNone(name, [...called.values()], nameless.size));
}

function whyNone(name: string, [other]: ManagedCertificate[], nameless: number): string {
  if (other?.superseded) return `${name} is not renewed, as its host has got a certificate with another key`;
  if (other) {
    const { storage } = placeOf(other);
    const why = `its storage does not renew ahead: its host's next post renews it when it is time`;
    const option = `renew-ahead = yes in [storage "${storage}"]`;
    return `${name} is not renewed, as ${why}; for now, say quarry reissue ${name} FILE, for good, set ${option}`;
  }
  const none = `nothing that Quarry renews is called ${JSON.stringify(name)}`;
  if (nameless > 0) {
    const which = nameless === 1 ? 'one certificate has its' : `${nameless} certificates have their`;
    return `${none}; ${which} names in the CN alone: give its id, which quarry renewals shows`;
  }
  return `${none}: that is what storages with renew-ahead = yes and [renewal] blocks hold; see quarry renewals`;
}

/** Which of the scheduler's tasks renews it. */
function taskOf(id: string): string {
  const [, profile] = /^(profile\/.*)\/[^/]*$/s.exec(id) ?? [];
  return profile ?? 'renew';
}

/** @throws Error in one line when it comes to nothing */
async function renew(
  { store, clock }: FleetRedis,
  index: RenewalIndex,
  { id, certificate, failures }: ManagedCertificate,
): Promise<{ names: string[]; end: number }> {
  const begun = clock.now();
  let asked = 0;
  const ask = async () => {
    asked++;
    await index.force(id, clock.now());
    await hastenTask(store, taskOf(id), clock.now());
  };
  await ask();
  for (;;) {
    const [now] = await index.read([id]);
    if (!now) throw new Error(`${id} is no longer renewed`);
    if (now.certificate !== certificate) return { names: now.names, end: now.notAfter };
    if (now.failures && now.failures.last !== failures?.last && !now.forced)
      throw new Error(`${now.names.join(', ')} cannot be renewed: ${now.failures.reason}`);
    if (!now.forced && !now.job) {
      if (asked > 2)
        throw new Error(`nothing came of it for ${now.names.join(', ')}; see the scheduler's log`);
      await ask(); // a scheduler that was looking at it just then has not seen it
    }
    const waited = clock.now() - begun;
    if (taskOf(id) === 'renew' && !now.job && waited > UNTIL_TAKEN_UP)
      throw new Error('no scheduler has taken it up within a minute; does one run?');
    if (waited > UNTIL_RENEWED)
      throw new Error('it is still being renewed, if a scheduler runs; quarry renewals shows how it ends');
    await clock.sleep(LOOK);
  }
}
