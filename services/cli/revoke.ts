import { parseRevocationReason, REASONS_TEXT, type RevocationReason } from '../../shared/pki/revocation.ts';
import { type Command, readOptions, UsageError } from './command.ts';
import { agreeOnAll, endEach, findLiving, readName } from './end-certificates.ts';
import { openFleetWithSecret } from './fleet-redis.ts';

const OPTIONS = '[--reason REASON] [--all] [--yes]';

/** `quarry revoke`: what `POST /revoke` does for a client, for an operator, whatever the auth blocks say. */
export const revokeCommand: Command = {
  usage: [`revoke ${OPTIONS} NAME|SERIAL FILE…`],
  forms: [`revoke ${OPTIONS} FILE…`],
  summary: "has the CA revoke what Quarry's inventory has of a name, or of a serial number; asks first",
  example: 'quarry revoke --reason keyCompromise www.example.org main.ini',
  async run(words, { env, write }) {
    const { values, positionals } = readOptions(words, {
      reason: { type: 'string' },
      all: { type: 'boolean' },
      yes: { type: 'boolean' },
    });
    const { name, files } = await readName('revoke', positionals);
    const reason = readReason(values.reason);
    using opened = await openFleetWithSecret(files, env);
    const found = await findLiving(opened.store, name);
    const what = { todo: 'to be revoked', otherwise: 'nothing is revoked' };
    if (!(await agreeOnAll(found, values, what, write))) return write('nothing is revoked\n');
    const detail = reason === undefined ? `revoke ${name}` : `revoke ${name}: ${reason}`;
    const act = { operator: 'revoke', detail, ...(reason && { reason }) } as const;
    await endEach(opened, found, act, ({ names, serial }, result) => {
      const already = result.outcome === 'revoked' && result.already;
      return write(`revoked${already ? ' already' : ''}: ${names.join(', ')}, serial ${serial}\n`);
    });
  },
};

/** @throws UsageError */
function readReason(text: string | undefined): RevocationReason | undefined {
  const reason = text === undefined ? undefined : parseRevocationReason(text);
  if (text === undefined || reason !== undefined) return reason;
  throw new UsageError(`--reason is one of ${REASONS_TEXT}`);
}
