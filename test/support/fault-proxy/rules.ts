import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { createHits } from './hits.ts';
import type { Kind, ProxiedRequest } from './request.ts';
import type { Answer } from './upstream.ts';

/** `before` Pebble sees the request; or `after` Pebble has acted, while its answer is on the way. */
export type Side = 'before' | 'after';

/** RFC 7807 as ACME uses it; a `type` without a colon is one of `urn:ietf:params:acme:error:`. */
export type ProblemSpec = {
  type: string;
  detail?: string;
  subproblems?: unknown[];
  [member: string]: unknown;
};

export type AnswerSpec = {
  status: number;
  headers?: Record<string, string | string[]>;
  /** Sent as `application/problem+json`, with the status in it. */
  problem?: ProblemSpec;
  /** A text, or an object to be sent as JSON. */
  body?: string | object;
  /** false: no Replay-Nonce. By default a POST gets a fresh one of Pebble's, unless `headers` has one. */
  nonce?: false;
};

type Maybe<Value> = Value | undefined | Promise<Value | undefined>;

export type Action =
  /**
   * Waits for `release()` or the signal; when the client hangs up before Pebble saw the request, Pebble never
   * will.
   */
  | { hold: Side; until?: AbortSignal }
  /** Milliseconds; before, unless `side` says otherwise. */
  | { delay: number; side?: Side }
  /** Breaks the connection. */
  | { drop: Side }
  /** Answers in Pebble's place. A function that gives nothing lets Pebble answer, and has not hit. */
  | { answer: AnswerSpec | ((request: ProxiedRequest) => Maybe<AnswerSpec>) }
  /**
   * Changes what Pebble (or a rule) has answered. A function that gives nothing leaves it as it is, and has
   * not hit.
   */
  | { rewrite: (answer: Readonly<Answer>, request: ProxiedRequest) => Maybe<Partial<Answer>> }
  /** Sends so many bytes of the body, at least one too few, then breaks the connection. */
  | { cutAfter: number };

export type RuleOptions = {
  /** All kinds by default. */
  kind?: Kind | Kind[];
  /** Requests of the kind that do not count for this rule. */
  when?: (request: ProxiedRequest) => boolean;
  /** Only the n-th request since the rule was added; the first is 1. */
  nth?: number;
  /** From this one on, and up to that one, inclusive. */
  from?: number;
  to?: number;
  /** At most so often. */
  times?: number;
  /** Without it the rule only watches: it hits when the request comes. */
  do?: Action;
};

export type Rule = {
  /** How often it has acted. */
  readonly hits: number;
  /**
   * The request that the rule acted on as the n-th, at that moment: as it is held, dropped, … Rejects when
   * the rule is removed before, or after `timeoutMs`, which is a last stop against hanging.
   */
  hit(n?: number, timeoutMs?: number): Promise<ProxiedRequest>;
  /** Lets go on what is held now; what comes later is held again. */
  release(): void;
  /** It acts no more, and what it holds goes on. */
  remove(): void;
};

/** A rule's part in one request. Each step rejects when the client hangs up. */
export type Step = {
  before(request: ProxiedRequest, gone: AbortSignal): Promise<'drop' | undefined>;
  answer(request: ProxiedRequest): Promise<AnswerSpec | undefined>;
  after(answer: Answer, request: ProxiedRequest, gone: AbortSignal): Promise<Answer | 'drop'>;
};

/** All rules that are in force, in the order in which they were added. */
export function createRuleBook() {
  const rules = new Map<Rule, (request: ProxiedRequest) => Step | undefined>();
  return {
    add(options: RuleOptions): Rule {
      const { rule, match } = createRule(options, () => void rules.delete(rule));
      rules.set(rule, match);
      return rule;
    },
    /** Counts the request for every rule and answers the steps of those that act on it. */
    match: (request: ProxiedRequest): Step[] =>
      [...rules.values()].map(match => match(request)).filter(step => step !== undefined),
    clear() {
      for (const rule of rules.keys()) rule.remove();
    },
  };
}

function createRule(options: RuleOptions, forget: () => void) {
  const { kind, when, nth, from = nth ?? 1, to = nth ?? Infinity, times = Infinity, do: action } = options;
  const ofKind = kind === undefined ? undefined : [kind].flat();
  const hits = createHits(`${ofKind?.join(', ') ?? 'any'} request`);
  let gate = Promise.withResolvers<void>();
  let seen = 0;
  let acted = 0;

  const rule: Rule = {
    get hits() {
      return hits.all.length;
    },
    hit: hits.wait,
    release() {
      gate.resolve();
      gate = Promise.withResolvers();
    },
    remove() {
      forget();
      gate.resolve(); // and it stays open, for requests that are on the way to it
      hits.end();
    },
  };
  const step = createStep(action, {
    gate: () => gate.promise,
    hit: hits.add,
    miss: () => void acted--,
  });
  const match = (request: ProxiedRequest) => {
    if (ofKind && !ofKind.includes(request.kind)) return undefined;
    if (when && !when(request)) return undefined;
    if (++seen < from || seen > to || acted >= times) return undefined;
    acted++;
    return step;
  };
  return { rule, match };
}

type Turn = {
  gate: () => Promise<void>;
  hit: (request: ProxiedRequest) => void;
  /** The function of an action gave nothing: that shall not count for `times`. */
  miss: () => void;
};

function createStep(action: Action | undefined, { gate, hit, miss }: Turn): Step {
  /** What holds, delays and drops have in common. */
  const interfere = async (side: Side, request: ProxiedRequest, gone: AbortSignal) => {
    if (!action || sideOf(action) !== side) return undefined;
    hit(request);
    if ('hold' in action) await untilGone(gone, gate(), ...(action.until ? [aborted(action.until)] : []));
    if ('delay' in action) await delay(action.delay, undefined, { signal: gone });
    return 'drop' in action ? 'drop' : undefined;
  };
  return {
    async before(request, gone) {
      if (!action) hit(request);
      return interfere('before', request, gone);
    },
    async answer(request) {
      if (!action || !('answer' in action)) return undefined;
      const spec = typeof action.answer === 'function' ? await action.answer(request) : action.answer;
      if (spec) hit(request);
      else miss();
      return spec;
    },
    async after(answer, request, gone) {
      if ((await interfere('after', request, gone)) === 'drop') return 'drop';
      if (!action || !('rewrite' in action || 'cutAfter' in action)) return answer;
      const change = 'rewrite' in action ? await action.rewrite(answer, request) : action;
      if (change) hit(request);
      else miss();
      return { ...answer, ...change };
    },
  };
}

function sideOf(action: Action): Side | undefined {
  if ('hold' in action) return action.hold;
  if ('drop' in action) return action.drop;
  return 'delay' in action ? (action.side ?? 'before') : undefined;
}

/** Ends when one of the promises does; rejects when the client is gone. */
async function untilGone(gone: AbortSignal, ...promises: Promise<unknown>[]): Promise<void> {
  await Promise.race([...promises, aborted(gone)]);
  gone.throwIfAborted();
}

const aborted = async (signal: AbortSignal) => signal.aborted || once(signal, 'abort');
