import assert from 'node:assert/strict';
import { Agent } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type AccountObject,
  type AcmeIdentifier,
  type AuthorizationObject,
  type ChallengeObject,
  checkAccount,
  checkAnswer,
  checkAuthorization,
  checkChallenge,
  checkNonce,
  checkOrder,
  checkProblem,
  isSameSet,
  kindOf,
  linksOf,
  type OrderObject,
  type Problem,
  readObject,
  show,
} from './acme-answers.ts';
import {
  bindAccount,
  type ClientKey,
  type EabKey,
  type FlatJws,
  type JwsHeader,
  makeClientKey,
  signJws,
} from './acme-jws.ts';
import { type Answer, ask } from './ask.ts';

/** An answer, and the problem that it is where it is one. */
export type AcmeAnswer = Answer & { problem?: Problem };

export type Payload = Record<string, unknown> | string | undefined;

/** What a request does otherwise than it should. */
export type Twist = {
  /** In place of `kid`: the account's key itself, as for newAccount. */
  jwk?: true;
  /** Who signs; the account's key by default. */
  key?: ClientKey;
  /** Changes the protected header; a member that is undefined is left out. */
  header?: (header: Record<string, unknown>) => JwsHeader;
  /** Changes the JWS, or makes something else of it: a text or bytes are sent as they are. */
  jws?: (jws: FlatJws) => unknown;
  method?: string;
  headers?: Record<string, string>;
};

export type AcmeClientOptions = {
  directoryUrl: string;
  /** PEM, of a server by https. */
  ca?: string;
  key?: ClientKey;
  /** The loopback address that it comes from. */
  from?: string;
  /** Asks again after `badNonce`, as section 6.5 wants it, and after 503; otherwise a test sees them. */
  retries?: boolean;
  /** Whether requests share connections; they do by default. */
  keepAlive?: boolean;
  /** Of a server that is not ours. */
  lapses?: readonly Lapse[];
};

/** What RFC 8555 demands and Pebble does not do. */
export type Lapse = 'no-store' | 'up';

export type Directory = {
  newNonce: string;
  newAccount: string;
  newOrder: string;
  revokeCert: string;
  keyChange: string;
  renewalInfo?: string;
  newAuthz?: string;
  meta?: {
    termsOfService?: string;
    website?: string;
    caaIdentities?: string[];
    externalAccountRequired?: boolean;
    profiles?: Record<string, string>;
  };
};

export type NewOrder = {
  identifiers: AcmeIdentifier[];
  profile?: string;
  replaces?: string;
  notBefore?: string;
  notAfter?: string;
};

/** About a minute of 503, which is longer than what tests bring about. */
const MOST_TRIES = 600;

export const toDns = (...names: string[]): AcmeIdentifier[] => names.map(value => ({ type: 'dns', value }));

/**
 * A small ACME client that asks for one thing at a time, and fails where an answer is not as RFC 8555 has it.
 * A `Twist` makes a request wrong.
 */
export async function openAcmeClient(options: AcmeClientOptions) {
  const { directoryUrl, ca, from, retries = false, keepAlive = true, lapses = [] } = options;
  const agent = directoryUrl.startsWith('https:') ? new Agent({ keepAlive }) : undefined;
  const headers = { 'User-Agent': 'quarry-tests', 'Accept-Language': 'en' }; // Section 6.1
  const web = { headers, ...(agent && { agent }), ...(ca && { ca }), ...(from && { from }) };
  let key = options.key ?? makeClientKey();
  let kid: string | undefined;
  const nonces: string[] = [];
  const seen = new Set<string>();

  const directoryAnswer = await ask(directoryUrl, web);
  const directory = readObject<Directory>(directoryAnswer);

  function keepNonce(answer: Answer): void {
    const nonce = checkNonce(answer);
    assert.ok(!seen.has(nonce), 'a nonce is given once');
    seen.add(nonce);
    nonces.push(nonce);
  }

  /** Section 7.2. */
  async function fetchNonce(method = 'HEAD'): Promise<string> {
    const answer = await ask(directory.newNonce, { ...web, method });
    assert.equal(answer.status, method === 'HEAD' ? 200 : 204);
    if (!lapses.includes('no-store')) assert.match(answer.headers['cache-control'] ?? '', /\bno-store\b/);
    assert.equal(answer.body, '');
    checkAnswer(answer, directoryUrl);
    keepNonce(answer);
    return nonces.pop() ?? '';
  }

  function sign(url: string, payload: Payload, nonce: string, twist: Twist): unknown {
    const who = twist.jwk || kid === undefined ? { jwk: (twist.key ?? key).jwk } : { kid };
    const header = { alg: (twist.key ?? key).alg, ...who, nonce, url };
    const text = typeof payload === 'object' ? JSON.stringify(payload) : (payload ?? '');
    const jws = signJws(twist.header?.(header) ?? header, text, twist.key ?? key);
    return twist.jws?.(jws) ?? jws;
  }

  /** A signed request; the answer is checked as far as all answers are alike. */
  async function post(
    url: string,
    payload: Payload,
    twist: Twist = {},
    tries = retries ? MOST_TRIES : 1,
  ): Promise<AcmeAnswer> {
    const nonce = nonces.pop() ?? (await fetchNonce());
    const body = sign(url, payload, nonce, twist);
    const answer = await ask(url, {
      ...web,
      method: twist.method ?? 'POST',
      headers: { ...headers, 'Content-Type': 'application/jose+json', ...twist.headers },
      body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
    });
    checkAnswer(answer, directoryUrl);
    keepNonce(answer);
    if (answer.status < 400) return answer;
    const problem = checkProblem(answer);
    const again = tries > 1 && (kindOf(problem) === 'badNonce' || answer.status === 503);
    if (again && answer.status === 503) await delay(100);
    return again ? post(url, payload, twist, tries - 1) : Object.assign(answer, { problem });
  }

  async function readAccount(answer: Answer, statuses?: number[]): Promise<AccountObject> {
    const account = readObject<AccountObject>(answer, statuses);
    checkAccount(account);
    return account;
  }

  /** Sections 7.3, 7.3.1 and 7.3.4; the client then goes by this account. */
  async function newAccount(
    payload: Record<string, unknown> = {},
    { eab, twist }: { eab?: EabKey | undefined; twist?: Twist } = {},
  ): Promise<AcmeAnswer> {
    const bound = eab && {
      externalAccountBinding: bindAccount(eab, directory.newAccount, (twist?.key ?? key).jwk),
    };
    const answer = await post(directory.newAccount, { ...payload, ...bound }, { jwk: true, ...twist });
    if (answer.problem) return answer;
    const statuses = payload.onlyReturnExisting ? [200] : [200, 201];
    await readAccount(answer, statuses);
    assert.ok(URL.canParse(answer.headers.location ?? ''), 'the Location of the account');
    kid = answer.headers.location;
    if (twist?.key) key = twist.key;
    return answer;
  }

  /** Section 7.4; `url` is that of the order. */
  async function newOrder(asked: NewOrder, twist?: Twist): Promise<{ order: OrderObject; url: string }> {
    const answer = await post(directory.newOrder, asked, twist);
    const order = readObject<OrderObject>(answer, [201]);
    checkOrder(order);
    assert.ok(
      isSameSet(order.identifiers, asked.identifiers),
      'the identifiers are those that were asked for',
    );
    assert.ok(['pending', 'ready'].includes(order.status), order.status);
    const url = answer.headers.location ?? '';
    assert.ok(URL.canParse(url), 'the Location of the order');
    return { order, url };
  }

  async function readOrder(url: string): Promise<OrderObject> {
    const order = readObject<OrderObject>(await post(url, undefined));
    checkOrder(order);
    return order;
  }

  async function readAuthorization(url: string): Promise<AuthorizationObject> {
    const authorization = readObject<AuthorizationObject>(await post(url, undefined));
    checkAuthorization(authorization);
    return authorization;
  }

  /** Section 7.5.1: says that the challenge can be validated. */
  async function respond(url: string): Promise<ChallengeObject> {
    const answer = await post(url, {});
    const challenge = readObject<ChallengeObject>(answer);
    checkChallenge(challenge);
    assert.equal(linksOf(answer, 'up').length, 1, 'the Link "up" of a challenge leads to its authorization');
    return challenge;
  }

  /** Section 7.4: asks for the certificate, and for the order until it is ended. */
  async function finalize({ order, url }: { order: OrderObject; url: string }, csr: string) {
    const answer = await post(order.finalize, { csr: toCsrField(csr) });
    let current = readObject<OrderObject>(answer);
    checkOrder(current);
    if (answer.headers.location !== undefined) assert.equal(answer.headers.location, url);
    while (current.status === 'processing') {
      await delay(50);
      current = await readOrder(url);
    }
    return current;
  }

  /** Section 7.4.2. */
  async function certificate(url: string): Promise<string> {
    const answer = await post(url, undefined);
    assert.equal(answer.status, 200, show(answer));
    assert.match(answer.headers['content-type'] ?? '', /^application\/pem-certificate-chain(;|$)/);
    // RFC 8555 section 9.1: certificates alone, in RFC 7468's textual encoding.
    const one =
      '-----BEGIN CERTIFICATE-----\r?\n([\\w+/]{64}\r?\n)*[\\w+/=]{1,64}\r?\n-----END CERTIFICATE-----';
    assert.match(answer.body, new RegExp(`^(${one}(\r?\n)+)+$`));
    return answer.body;
  }

  /** Section 7.3.5: the inner JWS; `inner` changes it. */
  async function changeKey(to: ClientKey, twist: Twist & { inner?: Twist; payload?: unknown } = {}) {
    const { inner = {}, payload, ...outer } = twist;
    const header = { alg: to.alg, jwk: to.jwk, url: directory.keyChange };
    const text = JSON.stringify(payload ?? { account: kid, oldKey: key.jwk });
    const jws = signJws(inner.header?.(header) ?? header, text, inner.key ?? to);
    const answer = await post(directory.keyChange, JSON.stringify(inner.jws?.(jws) ?? jws), outer);
    if (answer.status === 200) key = to;
    return answer;
  }

  return {
    directory,
    directoryAnswer,
    get key() {
      return key;
    },
    /** Of the account; throws where there is none yet. */
    get kid() {
      assert.ok(kid, 'the client has an account');
      return kid;
    },
    fetchNonce,
    /** The nonces that it has and did not use; the last is the next. */
    nonces,
    post,
    newAccount,
    newOrder,
    readOrder,
    readAuthorization,
    respond,
    finalize,
    certificate,
    changeKey,
    readAccount: async () => readAccount(await post(kid ?? '', undefined)),
    [Symbol.dispose]: () => agent?.destroy(),
  };
}

export type AcmeClient = Awaited<ReturnType<typeof openAcmeClient>>;

/** base64url of the DER, as finalize and revokeCert want it. */
export const toCsrField = (pem: string): string =>
  Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64').toString('base64url');
