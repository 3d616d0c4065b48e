// What an error of Redis, or of a connection to it, means: the one place that knows the words of both.

/**
 * - `away`: nobody answers for the data right now. What was asked was not done, or nobody knows whether.
 * - `refuses`: Redis answers, but does not do what was asked, until somebody or something makes it well.
 *   `why` is fit for clients.
 * - `damaged`: a value is not what a command or a script expects; it stays so until somebody mends it.
 */
type RedisTrouble = { kind: 'away' } | { kind: 'refuses'; why: string } | { kind: 'damaged' };

/** What Redis answers while it, or its cluster, does not serve its data. */
const awayCodes = new Set(['LOADING', 'MASTERDOWN', 'CLUSTERDOWN', 'TRYAGAIN', 'BUSY', 'UNBLOCKED']);

const refusals: Record<string, string> = {
  OOM: 'its memory is full',
  MISCONF: 'it cannot save to its disk',
  NOREPLICAS: 'too few of its replicas follow it',
  READONLY: 'it is a replica',
  NOPERM: 'this user has not the right',
  NOAUTH: 'it wants a login',
  WRONGPASS: 'it does not know this user and password',
  MOVED: 'it is one node of a cluster, and another one has the keys',
  ASK: 'it is one node of a cluster, and another one gets the keys',
};

/** Errors of ioredis and of the system under it. */
const awayNames = new Set(['AbortError', 'MaxRetriesPerRequestError', 'ClusterAllFailedError']);
const awayWords = new RegExp(
  [
    '^Connection is closed',
    "^Stream isn't writeable",
    '^Command timed out$',
    '^Too many Cluster redirections',
    '^All sentinels are unreachable',
    '^ERR max number of clients',
    '^DENIED Redis is running in protected mode',
  ].join('|'),
);

/**
 * @param error what a command was rejected with, or what a connection has emitted
 * @returns `undefined` where it is neither: a mistake in a command, or no error of Redis at all
 */
export function judgeRedisError(error: unknown): RedisTrouble | undefined {
  if (!(error instanceof Error)) return undefined;
  const { message, name, previousErrors: [queued] = [] } = error as RedisError;
  const code = codeOf(error);
  if (code === 'EXECABORT' && queued !== undefined) return judgeRedisError(queued);
  const why = Object.hasOwn(refusals, code) ? refusals[code] : undefined;
  if (why !== undefined) return { kind: 'refuses', why: `${why} (${code})` };
  if (awayCodes.has(code) || awayNames.has(name) || awayWords.test(message)) return { kind: 'away' };
  if ((error as NodeJS.ErrnoException).syscall !== undefined) return { kind: 'away' };
  return name === 'ReplyError' && isDamage(message) ? { kind: 'damaged' } : undefined;
}

type RedisError = Error & {
  /** Of a transaction: what its commands were refused with. */
  previousErrors?: readonly unknown[];
};

/**
 * The word that begins an error of Redis; else ''. Redis 6.2 puts what a script's command was refused with
 * behind the place in the script; a transaction that was discarded may say why, too.
 */
export function codeOf({ name, message }: Error): string {
  if (name !== 'ReplyError') return '';
  if (/The user executing the script can't /.test(message)) return 'NOPERM';
  const inner = /(?:user_script:\s*\d+:|discarded because of:) -?([A-Z]{3,})\b/.exec(message)?.[1];
  return inner ?? /^[A-Z]+/.exec(message)?.[0] ?? '';
}

const isDamage = (message: string) => /^(WRONGTYPE |ERR .*user_script:\s*\d+: )/.test(message);

/**
 * What an error of a connection says, in a line for an operator. ioredis blames the Sentinels alone, also
 * where all of them have answered, and the master that they name does not.
 */
export function explainOutage(said: string): string {
  const [isOfSentinels, last] = /^All sentinels are unreachable(?:.* Last error: (.+))?/.exec(said) ?? [];
  if (isOfSentinels === undefined) return isUnreached(said) ? `${said}; start it, or correct [redis]` : said;
  return last === undefined ? NO_MASTER : `${NO_MASTER}; the last error: ${last}`;
}

const isUnreached = (said: string) => /^(connect (ECONNREFUSED|ENOENT|EHOSTUNREACH)|getaddrinfo)/.test(said);

const NO_MASTER = 'no Sentinel names a master that answers';

/** In a line for clients, who need not know more of what is wrong with Redis. */
export function describeTrouble(trouble: RedisTrouble | undefined): string {
  return trouble?.kind === 'refuses' ? `Redis refuses to write: ${trouble.why}` : 'Redis cannot be reached';
}
