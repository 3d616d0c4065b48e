import AcmeClientApi from 'acme-client/src/api.js';
import type { HttpAnswer } from 'acme-client/src/http.js';

/**
 * acme-client's calls, with any success taken for one: it wants exact status codes, as 201 of newOrder, and CAs and what
 * stands before them differ. What is not a success has been thrown by the transport.
 */
export class AcmeApi extends AcmeClientApi {
  override async apiRequest(
    url: string,
    payload?: unknown,
    _codes?: number[],
    options?: object,
  ): Promise<HttpAnswer> {
    return super.apiRequest(url, payload, [], options);
  }
}
