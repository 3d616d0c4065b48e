import { createAccount } from '../../../shared/acme/account.ts';
import type { AcmeAccount } from '../../../shared/acme/client.ts';
import type { CaConnection } from '../../../shared/acme/connection.ts';
import { type FakeCa, startFakeCa } from './fake-ca.ts';
import { accountKeyPem, connect, never } from './open-connection.ts';

export type AccountReady = AsyncDisposable & { ca: FakeCa; connection: CaConnection; account: AcmeAccount };

/** A CA that has an account, and the connection to it; no request is in its list. */
export async function startWithAccount(): Promise<AccountReady> {
  await using stack = new AsyncDisposableStack();
  const ca = stack.use(await startFakeCa());
  const connection = stack.use(connect(ca.directoryUrl));
  const { url } = await createAccount(connection, accountKeyPem, { termsOfServiceAgreed: true }, never);
  ca.requests.length = 0;
  const parts = stack.move();
  const account = { keyPem: accountKeyPem, url };
  return { ca, connection, account, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}
