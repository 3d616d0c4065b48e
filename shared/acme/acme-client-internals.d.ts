// The parts of acme-client 5 that its own declarations leave out; only what Quarry uses is declared.

declare module 'acme-client/src/http.js' {
  import type { KeyObject } from 'node:crypto';

  export type HttpAnswer = { status: number; headers: Record<string, string | undefined>; data: unknown };

  export default class HttpClient {
    constructor(
      directoryUrl: string,
      accountKey: Buffer,
      externalAccountBinding?: { kid: string; hmacKey: string } | undefined,
    );
    accountKey: Buffer | KeyObject;
    jwk: Record<string, string> | null;
    maxBadNonceRetries: number;
    request(url: string, method: string, options?: { data?: unknown }): Promise<HttpAnswer>;
    getDirectory(): Promise<Record<string, unknown>>;
    getResourceUrl(resource: string): Promise<string>;
    getNonce(): Promise<string>;
    getJwk(): Record<string, string>;
    createSignedBody(url: string, payload: object): object;
    signedRequest(
      url: string,
      payload: unknown,
      options?: { kid?: string | null; nonce?: string | null; includeExternalAccountBinding?: boolean },
      attempts?: number,
    ): Promise<HttpAnswer>;
  }
}

declare module 'acme-client/src/api.js' {
  import type HttpClient from 'acme-client/src/http.js';
  import type { HttpAnswer } from 'acme-client/src/http.js';

  export default class AcmeApi {
    constructor(http: HttpClient, accountUrl?: string | null);
    accountUrl: string | null;
    apiRequest(
      url: string,
      payload?: unknown,
      validStatusCodes?: number[],
      options?: object,
    ): Promise<HttpAnswer>;
    createAccount(data: object): Promise<HttpAnswer>;
    updateAccount(data: object | null): Promise<HttpAnswer>;
    updateAccountKey(data: object): Promise<HttpAnswer>;
    createOrder(data: object): Promise<HttpAnswer>;
    getOrder(url: string): Promise<HttpAnswer>;
    finalizeOrder(url: string, data: { csr: string }): Promise<HttpAnswer>;
    getAuthorization(url: string): Promise<HttpAnswer>;
    completeChallenge(url: string, data: object): Promise<HttpAnswer>;
    revokeCert(data: object): Promise<HttpAnswer>;
  }
}
