import { acmeCommand } from './acme/acme.ts';
import { check } from './check.ts';
import { type Command, needFiles, readWords } from './command.ts';
import { completionCommand } from './completion/completion.ts';
import { limitsCommand } from './limits.ts';
import { notifyCommand } from './notify.ts';
import { renewCommand } from './renew.ts';
import { renewalsCommand } from './renewals.ts';
import { roleCommand } from './role-command.ts';
import { roleNames } from './run-roles.ts';

/** All that `quarry` can do, in the order in which its help tells it. */
export const commands: Record<string, Command> = {
  up: roleCommand('up', roleNames, 'all roles in one process; starts a private Redis where none is configured'),
  intake: roleCommand('intake', ['intake'], 'takes CSRs over HTTP'),
  worker: roleCommand('worker', ['worker'], 'drives the ACME orders'),
  responder: roleCommand('responder', ['responder'], "answers the CA's challenges"),
  scheduler: roleCommand('scheduler', ['scheduler'], 'renews certificates and clears storages, whenever it is time'),
  check: {
    usage: ['check FILE…'],
    summary: 'reads the configuration and prints who may have what',
    example: 'quarry check main.ini',
    run: (words, { env, write }) => check(needFiles('check', readWords(words)), env, write),
  },
  limits: limitsCommand,
  notify: notifyCommand,
  renewals: renewalsCommand,
  renew: renewCommand,
  acme: acmeCommand,
  completion: completionCommand(() => commands),
};
