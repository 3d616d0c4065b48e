import type { Store } from '../../shared/base/redis.ts';
import { FORGET } from '../../shared/inventory/project.ts';
import { type ManagedCertificate, openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { type Command, readOptions } from './command.ts';
import { agreeOnAll, endEach, findLiving, readName } from './end-certificates.ts';
import { openFleetWithSecret } from './fleet-redis.ts';

const OPTIONS = '[--all] [--yes]';

/** `quarry forget`: no storage hands it out and nothing renews it any more; it stays valid at the CA. */
export const forgetCommand: Command = {
  usage: [`forget ${OPTIONS} NAME|SERIAL FILE…`],
  forms: [`forget ${OPTIONS} FILE…`],
  summary:
    'takes the certificates of a name out of the storages and the renewals: the next post orders anew; they stay valid; asks first',
  example: 'quarry forget old.example.org main.ini',
  async run(words, { env, write }) {
    const { values, positionals } = readOptions(words, {
      all: { type: 'boolean' },
      yes: { type: 'boolean' },
    });
    const { name, files } = await readName('forget', positionals);
    using opened = await openFleetWithSecret(files, env);
    const found = await findLiving(opened.store, name);
    const what = { todo: 'to be forgotten, and not revoked', otherwise: 'nothing is forgotten' };
    if (!(await agreeOnAll(found, values, what, write))) return write('nothing is forgotten\n');
    const names = new Set(found.flatMap(one => one.names));
    const left = await findLeft(opened.store, names);
    const act = { operator: 'forget', detail: `${FORGET} ${name}` } as const;
    await endEach(opened, found, act, ({ names, serial }, result) => {
      const storages = result.outcome === 'forgotten' ? result.storages : [];
      const from =
        storages.length > 0 ? `removed from storage ${storages.join(', ')}` : 'it was in no storage';
      return write(`forgotten: ${names.join(', ')}, serial ${serial}; ${from}\n`);
    });
    for (const one of left) await write(one);
  },
};

/** What goes on by other ways than a storage, a line each. */
async function findLeft(store: Store, names: ReadonlySet<string>): Promise<string[]> {
  const left = new Map<string, string>();
  for await (const part of openRenewalIndex(store).list())
    for (const managed of part)
      if (managed.names.some(name => names.has(name))) left.set(managed.id, describeLeft(managed));
  return [...left.values()].filter(line => line !== '');
}

function describeLeft({ id, names, job }: ManagedCertificate): string {
  const [, profile] = /^profile\/(.*)\/[^/]*$/s.exec(id) ?? [];
  const which = names.join(', ');
  if (profile !== undefined)
    return `[renewal "${profile}"] goes on renewing ${which}: take it out of its shaman.json\n`;
  return job ? `${which} is being renewed: forget what comes of it once it is there\n` : '';
}
