import { readFile } from 'node:fs/promises';
import { openSeals } from '../../shared/admission/hmac.ts';
import { isNumber, isText, listOf, optional, shapeOf } from '../../shared/base/redis.ts';
import { listFiles } from '../../shared/config/config-files.ts';
import type { Reloaded } from './live-config.ts';

// What `quarry reload` and the processes of a fleet say to each other over Redis.

/**
 * The channels: where processes hear that they are to reload, and where they answer. A responder may only
 * read, so it hears on a channel of its own, and nobody waits for its answer.
 */
export const reloadChannels = (prefix: string) => ({
  asked: `${prefix}:reload`,
  askedReaders: `${prefix}:reload-responders`,
  answers: `${prefix}:reload-answers`,
});

/** @param id of the request, which the answers repeat */
export const toRequest = (id: string): string => JSON.stringify({ id });

const isRequest = shapeOf<{ id: string }>({ id: isText });
const LONGEST_ID = 100;

/** @returns the id; `undefined` for what is no request */
export function readRequest(text: string): string | undefined {
  const value = parse(text);
  return isRequest(value) && value.id.length <= LONGEST_ID ? value.id : undefined;
}

/**
 * Of one process, with what `Reloaded` has. `digest` is that of its files, made with the secret of the
 * installation.
 */
export type ReloadAnswer = {
  id: string;
  roles: string;
  host: string;
  pid: number;
  digest: string;
  outcome: Reloaded['outcome'];
  taken: string[];
  needsRestart: string[];
  reason?: string;
};

const isAnswer = shapeOf<ReloadAnswer>({
  ...{ id: isText, roles: isText, host: isText, pid: isNumber, digest: isText },
  outcome: value => ['taken', 'unchanged', 'refused'].includes(String(value)),
  ...{ taken: listOf(isText), needsRestart: listOf(isText), reason: optional(isText) },
});

/** Whoever may publish may have written anything: what is shown to people is one line of it. */
export function readAnswer(text: string): ReloadAnswer | undefined {
  const value = parse(text);
  return isAnswer(value) ? (clean(value) as ReloadAnswer) : undefined;
}

const LONGEST_TEXT = 1_000;

function clean(value: unknown): unknown {
  if (typeof value === 'string') return value.slice(0, LONGEST_TEXT).replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ');
  if (Array.isArray(value)) return value.slice(0, LONGEST_TEXT).map(clean);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, clean(one)]));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const DIGITS = 16;

/**
 * Tells whether two processes have the same files, and nothing of what is in them to who does not know the
 * secret.
 */
export async function digestFiles(paths: readonly string[], secret: Buffer): Promise<string> {
  const texts = await Promise.all((await listFiles(paths)).map(file => readFile(file, 'utf8')));
  return openSeals(secret).sealOf('configuration', texts.join('\n')).slice(0, DIGITS);
}
