// The URLs of the ACME server. All are made of the one that is configured, whatever Host a proxy sends.

/** What an id in a URL may have: those that Quarry makes, and base64url with the dot of RFC 9773 4.1. */
const id = /^[A-Za-z0-9_.-]{1,256}$/;

/** @param base `[acme] url`, without a slash at its end */
export function openUrls(base: string) {
  const { origin, pathname } = new URL(base);
  const accounts = `${base}/account/`;
  const withCursor = (cursor: string | undefined) => (cursor === undefined ? '' : `?cursor=${cursor}`);
  return {
    /** In front of each path; empty where the server has its host for itself. */
    path: pathname === '/' ? '' : pathname,
    directory: `${base}/directory`,
    newNonce: `${base}/new-nonce`,
    newAccount: `${base}/new-account`,
    newOrder: `${base}/new-order`,
    revokeCert: `${base}/revoke-cert`,
    keyChange: `${base}/key-change`,
    renewalInfo: `${base}/renewal-info`,
    account: (id: string) => accounts + id,
    orders: (id: string, cursor?: string) => `${accounts}${id}/orders${withCursor(cursor)}`,
    order: (id: string) => `${base}/order/${id}`,
    finalize: (id: string) => `${base}/order/${id}/finalize`,
    authorization: (order: string, at: number) => `${base}/authz/${order}/${at}`,
    challenge: (order: string, at: number, type: string) => `${base}/challenge/${order}/${at}/${type}`,
    certificate: (fingerprint: string) => `${base}/certificate/${fingerprint}`,
    /** `undefined` where it is not the URL of an account here. */
    accountIdOf(url: string): string | undefined {
      const rest = url.startsWith(accounts) ? url.slice(accounts.length) : '';
      return id.test(rest) ? rest : undefined;
    },
    /** What a request that came for this path and query has to be signed for. */
    signed: (target: string) => origin + target,
  };
}

export type Urls = ReturnType<typeof openUrls>;
