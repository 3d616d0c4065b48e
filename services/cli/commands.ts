import type { Command } from './command.ts';
import type { RoleName } from './start-role.ts';

/**
 * All that `quarry` can do, in the order of its help. Each is loaded when it is wanted: a responder is not
 * to carry the libraries of the others, nor is a step of `quarry acme` to wait for them.
 */
export const commands: Record<string, () => Promise<Command>> = {
  init: async () => (await import('./init.ts')).initCommand,
  up: async () => toRole('up', 'all roles in one process; starts a private Redis where none is configured'),
  intake: async () => toRole('intake', 'takes CSRs over HTTP'),
  worker: async () => toRole('worker', 'drives the ACME orders'),
  responder: async () => toRole('responder', "answers the CA's challenges"),
  scheduler: async () => toRole('scheduler', 'renews certificates and clears storages, whenever it is time'),
  check: async () => (await import('./check-command.ts')).checkCommand,
  reload: async () => (await import('./reload.ts')).reloadCommand,
  ca: async () => (await import('./ca.ts')).caCommand,
  limits: async () => (await import('./limits.ts')).limitsCommand,
  keys: async () => (await import('./keys.ts')).keysCommand,
  token: async () => (await import('./token.ts')).tokenCommand,
  'acme-accounts': async () => (await import('./acme-accounts.ts')).acmeAccountsCommand,
  'redis-acl': async () => (await import('./redis-acl.ts')).redisAclCommand,
  notify: async () => (await import('./notify.ts')).notifyCommand,
  trail: async () => (await import('./trail.ts')).trailCommand,
  certificates: async () => (await import('./certificates.ts')).certificatesCommand,
  revoke: async () => (await import('./revoke.ts')).revokeCommand,
  forget: async () => (await import('./forget.ts')).forgetCommand,
  renewals: async () => (await import('./renewals.ts')).renewalsCommand,
  renew: async () => (await import('./renew.ts')).renewCommand,
  reissue: async () => (await import('./reissue.ts')).reissueCommand,
  shaman: async () => (await import('./shaman.ts')).shamanCommand,
  acme: async () => (await import('./acme/acme.ts')).acmeCommand,
  completion: async () => (await import('./completion/completion.ts')).completionCommand(loadCommands),
};

export async function loadCommands(): Promise<Record<string, Command>> {
  const loading = Object.entries(commands).map(async ([name, load]) => [name, await load()] as const);
  return Object.fromEntries(await Promise.all(loading));
}

async function toRole(name: 'up' | RoleName, summary: string): Promise<Command> {
  return (await import('./role-command.ts')).roleCommand(name, summary);
}
