import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { type Front, startFront } from './fault-proxy/front.ts';
import { busyRule, type LetsEncryptPlays, pausedRule, rateLimitRule } from './fault-proxy/lets-encrypt.ts';
import { orderReuseRule } from './fault-proxy/order-reuse.ts';
import { createRequestReader, type Kind, kinds, type ProxiedRequest } from './fault-proxy/request.ts';
import { type AnswerSpec, createRuleBook, type Rule, type RuleOptions } from './fault-proxy/rules.ts';
import { type Answer, openUpstream } from './fault-proxy/upstream.ts';

export type { Kind, OrderIdentifier, ProxiedRequest } from './fault-proxy/request.ts';
export type { Action, AnswerSpec, ProblemSpec, Rule, RuleOptions, Side } from './fault-proxy/rules.ts';
export type { Answer } from './fault-proxy/upstream.ts';

export type FaultProxy = AsyncDisposable &
  Omit<Front, 'origin'> &
  LetsEncryptPlays & {
    directoryUrl: string;
    caFile: string;
    /** How many requests of each kind came since the start, or the last `reset()`. */
    counts(): Record<Kind, number>;
    /** The same requests, in the order in which they came; those under way still change. */
    requests(): ProxiedRequest[];
    /** Forgets the requests so far. Rules stay. */
    reset(): void;
    /**
     * From now on, does something to certain requests. Several rules may act on one request, each in its
     * turn, first added first: all that happens before Pebble, then an answer (the first rule that has one),
     * then all after it.
     */
    rule(options: RuleOptions): Rule;
    /**
     * Says that orders are pending still, as a CA does that takes its time to validate: they are held in
     * their middle until the rule is removed. Holding back the answers to the CA would not do, as Pebble
     * waits for them no longer than 15 s.
     */
    playPending(options?: Pick<RuleOptions, 'when' | 'to'>): Rule;
    /** Removes all rules, those of the `play` functions too. */
    clearRules(): void;
    /** Milliseconds by which every answer is late from now on; 0 ends it. */
    slow(milliseconds: number): void;
  };

/**
 * A CA in front of Pebble that can be made to fail, to limit and to dawdle. Clients use its `directoryUrl`
 * alone: Pebble makes all its URLs from the Host header, which is passed on, so they lead back to the proxy,
 * and so does the `url` that clients sign.
 *
 * @param now what its limits go by, in milliseconds since the epoch
 */
export async function startFaultProxy(
  pebble: { directoryUrl: string; caFile: string },
  now = Date.now,
): Promise<FaultProxy> {
  await using started = new AsyncDisposableStack();
  const upstream = started.use(openUpstream(pebble.directoryUrl, await readFile(pebble.caFile, 'utf8')));
  const reader = createRequestReader(now);
  const rules = createRuleBook();
  let requests: ProxiedRequest[] = [];
  let slowness = 0;

  /** Takes a request through all rules and Pebble. */
  async function answer(request: ProxiedRequest, incoming: IncomingMessage, body: string, gone: AbortSignal) {
    const steps = rules.match(request);
    for (const step of steps) if (await step.before(request, gone)) return 'drop';
    let answer: Answer | undefined;
    for (const step of steps)
      answer ??= await step.answer(request).then(spec => spec && fromSpec(spec, request));
    answer ??= await askPebble(request, incoming, body);
    for (const step of steps) {
      const changed = await step.after(answer, request, gone);
      if (changed === 'drop') return 'drop';
      answer = changed;
    }
    if (slowness > 0) await delay(slowness, undefined, { signal: gone });
    return answer;
  }

  async function askPebble(
    request: ProxiedRequest,
    { headers }: IncomingMessage,
    body: string,
  ): Promise<Answer> {
    const { method, path } = request;
    const answer = await upstream.ask({ method, path, headers, ...(method === 'POST' && { body }) });
    request.pebbleStatus = answer.status;
    reader.learn(request, answer);
    return answer;
  }

  async function fromSpec({ status, headers, problem, body, nonce }: AnswerSpec, request: ProxiedRequest) {
    const type =
      problem && (problem.type.includes(':') ? problem.type : `urn:ietf:params:acme:error:${problem.type}`);
    const content = problem ? { ...problem, type, status } : (body ?? '');
    const json = problem ? 'application/problem+json' : 'application/json';
    const fresh = nonce !== false && request.method === 'POST' ? await upstream.freshNonce() : undefined;
    return {
      status,
      headers: {
        ...(typeof content === 'object' && { 'content-type': json }),
        ...(fresh && { 'replay-nonce': fresh }),
        ...lowerCased(headers),
      },
      body: typeof content === 'object' ? JSON.stringify(content) : content,
    };
  }

  async function serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const hungUp = new AbortController();
    response.on('close', () => hungUp.abort());
    response.on('error', () => {});
    const body = await text(incoming).catch(() => undefined);
    if (body === undefined) return;
    const request = reader.read(incoming.method ?? '', incoming.url ?? '', body);
    requests.push(request);
    try {
      const result = await answer(request, incoming, body, hungUp.signal);
      if (result !== 'drop' && !hungUp.signal.aborted) return await send(response, result, request);
      request.outcome = result === 'drop' ? 'dropped' : 'hung up';
    } catch (error) {
      request.outcome = hungUp.signal.aborted ? 'hung up' : 'failed';
      if (!hungUp.signal.aborted) request.error = error;
    }
    incoming.socket.destroy();
  }

  started.defer(rules.clear);
  const { origin, ...front } = started.use(
    await startFront((incoming, response) => void serve(incoming, response)),
  );
  const running = started.move();
  return {
    ...front,
    directoryUrl: origin + new URL(pebble.directoryUrl).pathname,
    caFile: pebble.caFile,
    counts: () =>
      Object.fromEntries(
        kinds.map(kind => [kind, requests.filter(one => one.kind === kind).length]),
      ) as Record<Kind, number>,
    requests: () => [...requests],
    reset() {
      requests = [];
    },
    rule: rules.add,
    clearRules: rules.clear,
    slow(milliseconds) {
      slowness = milliseconds;
    },
    playPending: options => rules.add({ ...options, kind: 'order', do: { rewrite: toPending } }),
    playRateLimit: options => rules.add(rateLimitRule(options)),
    playPaused: options => rules.add(pausedRule(options)),
    playBusyLoadBalancer: options => rules.add(busyRule(options)),
    playOrderReuse: () => rules.add(orderReuseRule()),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/**
 * Writes the answer, or as much of it as its `cutAfter` lets through. What became of it is noted before it
 * can be seen.
 */
async function send(response: ServerResponse, answer: Answer, request: ProxiedRequest): Promise<void> {
  const { status, headers, cutAfter } = answer;
  const body = Buffer.from(answer.body);
  const bodiless = request.method === 'HEAD' || status === 204 || status === 304;
  response.writeHead(status, bodiless ? headers : { 'content-length': body.length, ...headers });
  request.status = status;
  request.outcome = cutAfter === undefined ? 'answered' : 'cut';
  if (cutAfter === undefined) return void response.end(body);
  await new Promise(done => response.write(body.subarray(0, Math.min(cutAfter, body.length - 1)), done));
  response.socket?.destroy();
}

/** An order as it is before its names are proven. */
const toPending = ({ status, body }: Readonly<Answer>) =>
  status === 200
    ? { body: JSON.stringify({ ...JSON.parse(body), status: 'pending', certificate: undefined }) }
    : undefined;

function lowerCased(headers: AnswerSpec['headers'] = {}): Answer['headers'] {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}
