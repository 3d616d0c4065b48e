import type { ChallengeType } from '../../shared/base/identifier.ts';
import { openLog } from '../../shared/base/log.ts';
import { openAccountStates } from '../../shared/ca/account-states.ts';
import { toCaaRecord } from '../../shared/ca/caa-record.ts';
import { describeCa } from '../../shared/ca/describe-ca.ts';
import { openCas } from '../../shared/ca/open-ca.ts';
import { type Config, loadConfig } from '../../shared/setup/load-config.ts';
import { type Command, needFiles, readWords } from './command.ts';
import { openFleetRedis } from './fleet-redis.ts';

/** `quarry ca FILE…`: prints how each account is, as the fleet knows it, and its CAA record; asks no CA. */
export const caCommand: Command = {
  usage: ['ca FILE…'],
  summary:
    'how each account is: open or why not, whether its CA can be reached, what is left of its limits, and its CAA record',
  example: 'quarry ca main.ini',
  async run(words, { env, write }) {
    const files = needFiles('ca', readWords(words));
    const config = await loadConfig(files, env);
    using opened = await openFleetRedis(files, env);
    const { log } = await openLog({ level: 'silent', destination: 'stderr', format: 'json' });
    using cas = await openCas(config.accounts.values(), opened.store, { clock: opened.clock, log });
    const states = openAccountStates(opened.store);
    for (const ca of cas.values()) {
      write(`${await describeCa(ca, states)}\n`);
      const state = await states.read(ca.name);
      const record = state && 'url' in state ? toCaaRecord(state, methodsOf(ca.name, config)) : undefined;
      if (record !== undefined) write(`  ${record}\n`);
    }
  },
};

/**
 * How names are proven for an account; empty where that is not known, as a shaman profile's programs may use
 * any method.
 */
function methodsOf(account: string, { auth, renewals }: Config): ChallengeType[] {
  if (renewals.some(({ accounts }) => accounts.includes(account))) return [];
  const blocks = auth.filter(block => block.accounts.some(choice => choice.account === account));
  return blocks.flatMap(({ challenges }) => challenges);
}
