import { readFile } from 'node:fs/promises';
import { explainFileError } from '../../shared/base/file-error.ts';
import { openBlockedKeys } from '../../shared/limits/blocked-keys.ts';
import type { BlockedKey } from '../../shared/limits/standing-limit.ts';
import { readKeyDigest } from '../../shared/pki/public-key.ts';
import { type Command, needFiles, readOptions, UsageError } from './command.ts';
import { openFleetRedis } from './fleet-redis.ts';
import { noteOperator } from './operator-event.ts';

const acts = ['list', 'block', 'unblock'];
const LONGEST_REASON = 200;

/** `quarry keys`: the public keys that get no certificate any more. */
export const keysCommand: Command = {
  usage: ['keys list FILE…', 'keys block [--reason TEXT] KEY FILE…', 'keys unblock KEY FILE…'],
  summary:
    'public keys that get no certificate any more; KEY is a CSR, a certificate or a public key in PEM, or a digest as list shows it',
  example: 'quarry keys block www.csr main.ini',
  async run(words, { env, write }) {
    const { values, positionals } = readOptions(words, { reason: { type: 'string' } });
    const [act = '', ...rest] = positionals;
    if (!acts.includes(act))
      throw new UsageError(`keys needs one of ${acts.join(', ')}: quarry keys list main.ini`);
    if (values.reason !== undefined && act !== 'block')
      throw new UsageError('only keys block takes a --reason');
    const [key, files] = act === 'list' ? ['', needFiles('keys list', rest)] : splitKey(act, rest);
    const publicKey = act === 'list' ? '' : await readKey(key);
    const reason = readReason(values.reason);
    using opened = await openFleetRedis(files, env);
    const keys = openBlockedKeys(opened.store);
    if (act === 'list') return write(toList(await keys.list()));
    await noteOperator(opened, `keys ${act} ${publicKey}${act === 'block' ? `: ${reason}` : ''}`);
    if (act === 'unblock') {
      if (await keys.unblock(publicKey)) return write(`unblocked: ${publicKey}\n`);
      throw new Error(`the key ${publicKey} is not blocked; quarry keys list has those that are`);
    }
    await keys.block(publicKey, { reason, at: opened.clock.now() });
    return write(`blocked: ${publicKey}\n`);
  },
};

function splitKey(act: string, [key, ...files]: string[]): [string, string[]] {
  if (key !== undefined && files.length > 0) return [key, files];
  throw new UsageError(`give a key and a file: quarry keys ${act} www.csr main.ini`);
}

/** @returns its `keyDigest` */
async function readKey(key: string): Promise<string> {
  if (/^[0-9a-f]{64}$/i.test(key)) return key.toLowerCase();
  const text = await readFile(key, 'utf8').catch(error => {
    throw new Error(`${key} cannot be read: ${explainFileError(error)}`);
  });
  try {
    return readKeyDigest(text);
  } catch (error) {
    throw new Error(`${key} cannot be used`, { cause: error });
  }
}

function readReason(text = 'an operator has blocked it'): string {
  const reason = text.replace(/[\p{C}\s]+/gu, ' ').trim();
  if (reason !== '' && reason.length <= LONGEST_REASON) return reason;
  throw new UsageError(`a --reason has 1 to ${LONGEST_REASON} characters`);
}

function toList(blocked: Map<string, BlockedKey>): string {
  if (blocked.size === 0) return 'no key is blocked\n';
  const inOrder = [...blocked].sort(([, a], [, b]) => (a.at ?? 0) - (b.at ?? 0));
  const lines = inOrder.map(([key, { at, reason }]) => {
    const since = at === undefined ? 'since an unknown time' : `since ${new Date(at).toISOString()}`;
    return `${key}  ${since}\n    ${reason}\n`;
  });
  return lines.join('');
}
