import type { AcmeOrder } from '../../../shared/acme/objects.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import type { Identifier } from '../../../shared/base/identifier.ts';
import { type CaAnswer, type FakeCa, problem } from '../acme/fake-ca.ts';
import type { ScriptedCa } from './scripted-ca.ts';

/** Lets a CA speak over HTTP what a script (whose base is the CA's URL) plays. */
export function serveOrder(http: FakeCa, ca: ScriptedCa): void {
  /** Answers what `act` gives; what it throws, as the problem that it is about. */
  const serve = (path: string, act: (payload: Record<string, unknown>) => Promise<CaAnswer>) =>
    http.on(path, ({ payload = {} }) => act(payload).catch(toProblem));
  const order = ({ url: _, ...body }: AcmeOrder): CaAnswer => ({ body });

  serve('/new-order', async ({ identifiers }) => {
    const made = await ca.newOrder(identifiers as Identifier[]);
    serveAuthorizations();
    return { ...order(made), status: 201, headers: { Location: made.url } };
  });
  serve('/order/1', async () => order(await ca.getOrder('')));
  serve('/finalize/1', async ({ csr }) =>
    order(await ca.finalize(ca.order, Buffer.from(csr as string, 'base64url'))),
  );
  serve('/cert/1', async () => ({ body: await ca.downloadChain('') }));

  function serveAuthorizations() {
    for (const { url, challenges } of ca.authorizations) {
      serve(url.slice(http.url.length), async () => ({ body: await ca.getAuthorization(url) }));
      for (const challenge of challenges) {
        serve(challenge.url.slice(http.url.length), async () => {
          await ca.initiateChallenge(challenge.url);
          return { body: {} };
        });
      }
    }
  }
}

function toProblem(error: unknown): CaAnswer {
  if (!(error instanceof IssuanceError)) throw error;
  const { type = '', detail = error.message, status = 400 } = error.problem ?? {};
  const answer = problem(status, type.split(':').at(-1) ?? '', detail);
  if (error.retryAfter === undefined) return answer;
  return { ...answer, headers: { ...answer.headers, 'Retry-After': `${error.retryAfter}` } };
}
