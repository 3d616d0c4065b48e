import { setImmediate } from 'node:timers/promises';
import type { AcmeClient } from '../../../shared/acme/client.ts';
import type { AcmeAuthorization, AcmeChallenge, AcmeOrder } from '../../../shared/acme/objects.ts';
import { IssuanceError, type Problem } from '../../../shared/base/errors.ts';
import type { Identifier } from '../../../shared/base/identifier.ts';
import type { ChallengeResponse, Solver } from '../../../shared/solver/solver.ts';

const kind = (name: string) => `urn:ietf:params:acme:error:${name}`;

export type CaScript = {
  /** What all its URLs begin with. */
  base?: string;
  /** Names that the account has proven before. */
  valid?: string[];
  /** What validation finds wrong, by name. */
  faults?: Record<string, Problem>;
  /** Challenge types on offer. */
  offers?: string[];
  chain?: string;
};

export type ScriptedCa = AcmeClient & {
  /**
   * `newOrder`, `initiate a.example`, `present a.example` and so on, in order: each of the CA's is one
   * request.
   */
  calls: string[];
  solver: Solver;
  /** The tokens that are presented now. */
  presented: Set<string>;
  order: AcmeOrder;
  authorizations: AcmeAuthorization[];
  /** Whether a question moves the CA on: challenges are validated, orders issued. */
  moving: boolean;
  /** Whether it has lost the order: until there is a new one, it knows of none. */
  lost: boolean;
  /** Thrown by the next call of that name, such as `finalize`. */
  failNext: Map<string, Error>;
};

/**
 * A CA of one order that works asynchronously, as the large ones do: it validates and issues between two
 * questions. Like Pebble it refuses a second word on a challenge, and an order that is finalized too early or
 * twice.
 */
export function scriptCa(script: CaScript = {}): ScriptedCa {
  const { base = 'https://ca.example', valid = [], faults = {}, offers = ['dns-01', 'http-01'] } = script;
  const urlOf = (what: string, name: string) => `${base}/${what}/${encodeURIComponent(name)}`;

  const call = (name: string, about = '') => {
    ca.calls.push(about === '' ? name : `${name} ${about}`);
    const failure = ca.failNext.get(name);
    ca.failNext.delete(name);
    if (failure) throw failure;
    if (name === 'newOrder') ca.lost = false;
    const isLost = ca.lost && ['getOrder', 'getAuthorization', 'initiate', 'finalize'].includes(name);
    if (isLost)
      throw new IssuanceError('gone', 'lost', { problem: { type: kind('malformed'), status: 404 } });
  };
  const refuse = (problem: string, detail: string) =>
    new IssuanceError('unexpected', detail, { problem: { type: kind(problem), detail } });

  function authorize({ type, value }: Identifier): AcmeAuthorization {
    const challenges = offers.map(offer => ({
      ...{ type: offer, status: 'pending', url: urlOf(`challenge-${offer}`, value) },
      token: Buffer.from(`token of ${value}`).toString('base64url').padEnd(22, '-'),
    }));
    return {
      ...{ url: urlOf('authz', value), status: valid.includes(value) ? 'valid' : 'pending', challenges },
      identifier: { type, value: value.replace(/^\*\./, '') },
      wildcard: value.startsWith('*.'),
    };
  }

  function validate(authorization: AcmeAuthorization): void {
    const challenge = authorization.challenges.find(({ status }) => status === 'processing');
    if (!challenge) return;
    challenge.error = faults[authorization.identifier.value];
    challenge.status = challenge.error ? 'invalid' : 'valid';
    authorization.status = challenge.status;
    if (challenge.error) ca.order.status = 'invalid';
  }

  /** What happens inside the CA between two questions. */
  function move(): void {
    const { order, authorizations } = ca;
    if (order.status === 'pending') {
      authorizations.forEach(validate);
      if (authorizations.every(({ status }) => status === 'valid')) order.status = 'ready';
    } else if (order.status === 'processing') {
      order.status = 'valid';
      order.certificate = `${base}/cert/1`;
    }
  }

  const find = (url: string): [AcmeAuthorization, AcmeChallenge] => {
    for (const authorization of ca.authorizations) {
      const challenge = authorization.challenges.find(one => one.url === url);
      if (challenge) return [authorization, challenge];
    }
    throw new Error(`the script knows no challenge ${url}`);
  };

  const nameOf = ({ identifier, wildcard }: AcmeAuthorization) =>
    `${wildcard ? '*.' : ''}${identifier.value}`;

  const ca: ScriptedCa = {
    calls: [],
    presented: new Set(),
    moving: true,
    lost: false,
    failNext: new Map(),
    order: { url: '', status: 'pending', authorizations: [], finalize: '' },
    authorizations: [],
    async newOrder(identifiers) {
      call('newOrder');
      ca.authorizations = identifiers.map(authorize);
      const ready = ca.authorizations.every(({ status }) => status === 'valid');
      ca.order = {
        ...{ url: `${base}/order/1`, finalize: `${base}/finalize/1`, status: ready ? 'ready' : 'pending' },
        authorizations: ca.authorizations.map(({ url }) => url),
      };
      return { ...ca.order };
    },
    async getOrder() {
      call('getOrder');
      if (ca.moving) move();
      return { ...ca.order };
    },
    async getAuthorization(url) {
      const authorization = ca.authorizations.find(one => one.url === url);
      if (!authorization) throw new Error(`the script knows no authorization ${url}`);
      call('getAuthorization', nameOf(authorization));
      return structuredClone(authorization);
    },
    async initiateChallenge(url) {
      const [authorization, challenge] = find(url);
      call('initiate', nameOf(authorization));
      if (challenge.status !== 'pending') throw refuse('malformed', `the challenge is ${challenge.status}`);
      challenge.status = 'processing';
    },
    async finalize(order) {
      call('finalize');
      if (order.finalize !== ca.order.finalize || ca.order.status !== 'ready')
        throw refuse('orderNotReady', `the order is ${ca.order.status}`);
      ca.order.status = 'processing';
      return { ...ca.order };
    },
    async downloadChain() {
      call('download');
      return script.chain ?? 'the chain';
    },
    accountUrl: `${base}/account/1`,
    keyAuthorization: token => `${token}.thumbprint`,
    solver: scriptSolver(),
  };

  function scriptSolver(): Solver {
    return {
      ...{ name: 'http', challengeType: 'http-01' },
      canProve: ({ value }) => !value.startsWith('*.'),
      async present({ identifier, token, keyAuthorization }: ChallengeResponse) {
        call('present', identifier.value);
        if (!keyAuthorization.startsWith(`${token}.`)) throw new Error('the key authorization is wrong');
        await setImmediate(); // as what is far away takes its time
        ca.presented.add(token);
      },
      async withdraw({ identifier, token }: ChallengeResponse) {
        call('withdraw', identifier.value);
        await setImmediate();
        ca.presented.delete(token);
      },
    };
  }

  return ca;
}

const solverCalls = ['present', 'withdraw'];

/** The calls that are requests to the CA. */
export const requestsOf = ({ calls }: ScriptedCa) =>
  calls.filter(one => !solverCalls.includes(one.split(' ', 1)[0] ?? ''));
