import { acmeCommand } from './acme/acme.ts';
import { check } from './check.ts';
import { type Command, needFiles, readOptions } from './command.ts';
import { completionCommand } from './completion/completion.ts';
import { limitsCommand } from './limits.ts';
import { notifyCommand } from './notify.ts';
import { probe } from './probe/probe.ts';
import { renewCommand } from './renew.ts';
import { renewalsCommand } from './renewals.ts';
import { roleCommand } from './role-command.ts';
import { roleNames } from './run-roles.ts';
import { shamanCommand } from './shaman.ts';

/** All that `quarry` can do, in the order in which its help tells it. */
export const commands: Record<string, Command> = {
  up: roleCommand('up', roleNames, 'all roles in one process; starts a private Redis where none is configured'),
  intake: roleCommand('intake', ['intake'], 'takes CSRs over HTTP'),
  worker: roleCommand('worker', ['worker'], 'drives the ACME orders'),
  responder: roleCommand('responder', ['responder'], "answers the CA's challenges"),
  scheduler: roleCommand('scheduler', ['scheduler'], 'renews certificates and clears storages, whenever it is time'),
  check: {
    usage: ['check [--probe] FILE…'],
    summary: 'reads the configuration and prints who may have what; --probe tries each verification out',
    example: 'quarry check --probe main.ini',
    async run(words, { env, write }) {
      const { values, positionals } = readOptions(words, { probe: { type: 'boolean' } });
      const config = await check(needFiles('check', positionals), env, write);
      if (values.probe) await probe(config, write);
    },
  },
  limits: limitsCommand,
  notify: notifyCommand,
  renewals: renewalsCommand,
  renew: renewCommand,
  shaman: shamanCommand,
  acme: acmeCommand,
  completion: completionCommand(() => commands),
};
