import { openLog, systemClock } from '../../shared/base/basics.ts';
import { describeCa } from '../../shared/ca/describe-ca.ts';
import { openAccountStates, openCas } from '../../shared/ca/open-ca.ts';
import { loadConfig } from '../../shared/setup/load-config.ts';
import { type Command, needFiles, readWords } from './command.ts';
import { openFleetRedis } from './fleet-redis.ts';

/** `quarry ca FILE…`: prints how each account is, as the fleet knows it; asks no CA. */
export const caCommand: Command = {
  usage: ['ca FILE…'],
  summary:
    'how each account is: open or why not, whether its CA can be reached, and what is left of its limits',
  example: 'quarry ca main.ini',
  async run(words, { env, write }) {
    const files = needFiles('ca', readWords(words));
    const { accounts } = await loadConfig(files, env);
    using opened = await openFleetRedis(files, env);
    const { log } = await openLog({ level: 'silent', destination: 'stderr', format: 'json' });
    using cas = await openCas(accounts.values(), opened.store, { clock: systemClock, log });
    const states = openAccountStates(opened.store);
    for (const ca of cas.values()) write(`${await describeCa(ca, states)}\n`);
  },
};
