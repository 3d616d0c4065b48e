import { type Accounts, openAccounts } from '../../shared/acme-server/accounts.ts';
import {
  type BoundBy,
  type ListedAccount,
  listAccounts,
  openJudgeBinding,
} from '../../shared/acme-server/list-accounts.ts';
import { openSeals } from '../../shared/admission/hmac.ts';
import { openJudgeToken } from '../../shared/admission/tokens.ts';
import { toTime } from '../../shared/base/to-time.ts';
import { type Command, type Io, needFiles, readOptions, UsageError } from './command.ts';
import { type FleetWithSecret, openFleetWithSecret } from './fleet-redis.ts';
import { noteOperator } from './operator-event.ts';

/** `quarry acme-accounts`: the accounts of ACME clients here. */
export const acmeAccountsCommand: Command = {
  usage: ['acme-accounts [--json] FILE…', 'acme-accounts deactivate ID FILE…'],
  summary:
    'accounts that ACME clients have here: by what each is bound, its contacts, when it came last, how many certificates it got; deactivate ends one for good',
  example: 'quarry acme-accounts main.ini',
  async run(words, { env, write }) {
    const { values, positionals } = readOptions(words, { json: { type: 'boolean' } });
    const [first, id = '', ...files] = positionals;
    const deactivates = first === 'deactivate';
    if (deactivates && values.json) throw new UsageError('acme-accounts deactivate takes no --json');
    if (deactivates && (files.length === 0 || !/^[0-9a-f]{32}$/.test(id)))
      throw new UsageError(
        'give the id of an account and a file: quarry acme-accounts deactivate ID main.ini',
      );
    using fleet = await openFleetWithSecret(
      deactivates ? files : needFiles('acme-accounts', positionals),
      env,
    );
    const accounts = openAccounts(fleet.store, openSeals(fleet.secret), fleet.clock);
    if (deactivates) return write(await deactivate(fleet, accounts, id));
    await writeAll(fleet, accounts, values.json ?? false, write);
  },
};

async function deactivate(fleet: FleetWithSecret, accounts: Accounts, id: string): Promise<string> {
  await noteOperator(fleet, `acme-accounts deactivate ${id}`);
  for (;;) {
    const kept = await accounts.read(id);
    if (!kept) throw new Error(`there is no account ${id}; quarry acme-accounts has those that are`);
    if (kept.account.status === 'deactivated') return `deactivated already: ${id}\n`;
    const isDone = await accounts.replace(kept, { ...kept.account, status: 'deactivated' });
    if (isDone) return `deactivated: ${id}\n`;
  }
}

async function writeAll(
  { store, secret, clock, config }: FleetWithSecret,
  accounts: Accounts,
  asJson: boolean,
  write: Io['write'],
): Promise<void> {
  const judge = openJudgeBinding(config.auth, openJudgeToken(store, openSeals(secret), clock));
  const toText = asJson ? toJson : toLines;
  let any = false;
  for await (const part of listAccounts(store, accounts)) {
    const texts = await Promise.all(
      part.map(async account => toText(account, account.binding && (await judge(account.binding)))),
    );
    if (texts.length > 0) await write(texts.join(''));
    any ||= texts.length > 0;
  }
  if (!any && !asJson) await write('no ACME client has an account here\n');
}

function toLines(account: ListedAccount, bound: BoundBy | undefined): string {
  const { id, status, created, client, seen, certificates, contacts } = account;
  const count = `${certificates} certificate${certificates === 1 ? '' : 's'}`;
  const last = seen === undefined ? 'never seen' : `last seen ${toTime(seen)}`;
  const lines = [
    `${id}  ${status}, ${last}, ${count}`,
    `    ${describeBound(account, bound)}`,
    `    made ${toTime(created)} from ${client}`,
    ...(contacts.length > 0 ? [`    ${contacts.join(', ')}`] : []),
  ];
  return `${lines.join('\n')}\n`;
}

function describeBound({ binding }: ListedAccount, bound: BoundBy | undefined): string {
  if (!binding || !bound) return 'no binding: known by its address or certificate';
  if ('fault' in bound) return `no binding any more to ${binding.kid}: ${bound.fault}`;
  return `bound to the auth block "${bound.block}" by ${bound.by}`;
}

/** One object a line; times as RFC 3339 has them. */
function toJson(account: ListedAccount, bound: BoundBy | undefined): string {
  const { id, status, created, client, seen, certificates, contacts, thumbprint, binding } = account;
  const shown = {
    ...{ id, status, thumbprint, contacts, client, certificates, created: toTime(created) },
    seen: seen === undefined ? null : toTime(seen),
    binding: binding && bound ? { kid: binding.kid, ...bound } : null,
  };
  return `${JSON.stringify(shown)}\n`;
}
