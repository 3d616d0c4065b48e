import { systemClock } from '../../shared/base/basics.ts';
import { hastenTask } from '../../shared/queue/schedule.ts';
import {
  isRenewed,
  type ManagedCertificate,
  openRenewalIndex,
  type RenewalIndex,
} from '../../shared/renewal/renewal-index.ts';
import { type Command, readWords, UsageError } from './command.ts';
import { type FleetRedis, openFleetRedis } from './fleet-redis.ts';

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
    if (found.length === 0)
      throw new Error(`nothing that Quarry renews is called ${JSON.stringify(name)}; see quarry renewals`);
    const ended = await Promise.all(found.map(managed => renew(opened, index, managed)));
    for (const { names, end } of ended)
      write(`renewed: ${names.join(', ')}, valid until ${new Date(end).toISOString()}\n`);
  },
};

async function findByName(index: RenewalIndex, name: string): Promise<ManagedCertificate[]> {
  const found = new Map<string, ManagedCertificate>();
  for await (const part of index.list()) {
    for (const one of part.filter(isRenewed))
      if (one.id === name || one.names.includes(name.toLowerCase()) || one.id.startsWith(`profile/${name}/`))
        found.set(one.id, one);
  }
  return [...found.values()];
}

/** Which of the scheduler's tasks renews it. */
function taskOf(id: string): string {
  const [, profile] = /^(profile\/.*)\/[^/]*$/s.exec(id) ?? [];
  return profile ?? 'renew';
}

/** @throws Error in one line when it comes to nothing */
async function renew(
  { store }: FleetRedis,
  index: RenewalIndex,
  { id, certificate, failures }: ManagedCertificate,
): Promise<{ names: string[]; end: number }> {
  const begun = systemClock.now();
  let asked = 0;
  const ask = async () => {
    asked++;
    await index.force(id, systemClock.now());
    await hastenTask(store, taskOf(id), systemClock.now());
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
    const waited = systemClock.now() - begun;
    if (taskOf(id) === 'renew' && !now.job && waited > UNTIL_TAKEN_UP)
      throw new Error('no scheduler has taken it up within a minute; does one run?');
    if (waited > UNTIL_RENEWED)
      throw new Error('it is still being renewed, if a scheduler runs; quarry renewals shows how it ends');
    await systemClock.sleep(LOOK);
  }
}
