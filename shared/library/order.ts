import type { AcmeClient } from '../acme/client.ts';
import type { AcmeOrder } from '../acme/objects.ts';
import type { Clock } from '../base/basics.ts';
import { type Identifier, parseIdentifier } from '../base/identifier.ts';
import { retryTime, SHORT_PATIENCE } from '../order/fail-over.ts';
import { pollTime } from '../order/next-step.ts';
import { orderFailure } from '../order/order-failure.ts';

/** What an order asks for beside its names. */
export type OrderOptions = {
  /** A certificate profile that the CA's directory offers. */
  profile?: string;
  /** The certificate that this order renews, as `renewalInfoId` makes it (RFC 9773 section 5). */
  replaces?: string;
  signal?: AbortSignal;
};

/** Each of them is reached over those before it. */
const stages = ['pending', 'ready', 'processing', 'valid'];

type By = { client: (signal?: AbortSignal) => AcmeClient; clock: Clock };

/** An order (RFC 8555 section 7.1.3), as the CA described it last. */
export class Order {
  readonly #by: By;
  readonly identifiers: readonly Identifier[];
  #order: AcmeOrder;

  private constructor(by: By, identifiers: readonly Identifier[], order: AcmeOrder) {
    this.#by = by;
    this.identifiers = identifiers;
    this.#order = order;
  }

  static async make(by: By, names: readonly string[], options: OrderOptions = {}): Promise<Order> {
    const { signal, ...wanted } = options;
    const identifiers = names.map(parseIdentifier);
    return new Order(by, identifiers, await by.client(signal).newOrder(identifiers, wanted));
  }

  get url(): string {
    return this.#order.url;
  }

  get status(): AcmeOrder['status'] {
    return this.#order.status;
  }

  /** URLs, for `getAuthorization` of the account's `client`. */
  get authorizations(): readonly string[] {
    return this.#order.authorizations;
  }

  /**
   * Asks for the order, when the CA wants to be asked, until it is that far (RFC 8555 section 7.1.6). A CA
   * that is away for a moment is asked again.
   *
   * @param status `ready` comes once all names are proven, `valid` some time after `finalize`
   * @throws IssuanceError in the CA's words when the order has become invalid; or the signal's reason
   */
  async until(status: 'ready' | 'valid', signal?: AbortSignal): Promise<this> {
    const acme = this.#by.client(signal);
    for (let polls = 0; ; polls++) {
      this.#order = await this.#ask(acme, signal);
      if (this.status === 'invalid') throw await orderFailure(acme, this.#order, this.identifiers);
      const isThere = this.status !== 'valid' || this.#order.certificate !== undefined;
      if (isThere && stages.indexOf(this.status) >= stages.indexOf(status)) return this;
      await this.#sleepUntil(pollTime(polls, this.#order, this.#by.clock.now()), signal);
    }
  }

  async #ask(acme: AcmeClient, signal: AbortSignal | undefined): Promise<AcmeOrder> {
    const policy = { ...SHORT_PATIENCE, mostNewOrders: 0 };
    for (let failures = 0; ; failures++) {
      try {
        return await acme.getOrder(this.url);
      } catch (error) {
        const again = retryTime(error, { failures, lostOrders: 0 }, this.#by.clock.now(), policy);
        if (!again) throw error;
        await this.#sleepUntil(again.at, signal);
      }
    }
  }

  #sleepUntil(time: number, signal: AbortSignal | undefined): Promise<void> {
    const { clock } = this.#by;
    return clock.sleep(time - clock.now(), signal);
  }

  /**
   * Asks for the certificate of an order that is ready (RFC 8555 section 7.4).
   *
   * @param csr DER, for all of the order's names
   */
  async finalize(csr: Buffer, signal?: AbortSignal): Promise<this> {
    this.#order = await this.#by.client(signal).finalize(this.#order, csr);
    return this;
  }

  /**
   * Waits until the certificate is issued, and fetches it (RFC 8555 section 7.4.2).
   *
   * @param options `preferredIssuer`: of several chains, the one whose topmost certificate this issuer signed
   * @returns PEM, leaf first
   * @throws IssuanceError as `until` does
   */
  async chain(options: { preferredIssuer?: string; signal?: AbortSignal } = {}): Promise<string> {
    const { preferredIssuer, signal } = options;
    await this.until('valid', signal);
    return this.#by.client(signal).downloadChain(this.#order.certificate ?? '', preferredIssuer);
  }
}
