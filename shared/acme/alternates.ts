import { X509Certificate } from 'node:crypto';
import { describeError } from '../base/errors.ts';
import { splitChain } from '../pki/certificate.ts';
import { readLinks } from './links.ts';
import { type HttpAnswer, text } from './objects.ts';

const MOST_ALTERNATES = 10;

/**
 * Of several chains for one certificate (RFC 8555 section 7.4.2), the one whose topmost certificate an issuer
 * of this common name signed; where there is none that can be read, the one in hand.
 *
 * @param inHand the answer that has the chain, and names the others
 * @param warn gets why another chain could not be read, in one line
 */
export async function chooseChain(
  inHand: HttpAnswer,
  preferredIssuer: string,
  {
    fetch,
    signal,
    warn,
  }: {
    fetch: (url: string) => Promise<HttpAnswer>;
    signal: AbortSignal;
    warn?: ((fault: string) => void) | undefined;
  },
): Promise<string> {
  const chain = text(inHand.data, 'a certificate chain');
  const isPreferred = (one: string) => endsAtIssuer(one, preferredIssuer);
  try {
    if (isPreferred(chain)) return chain;
  } catch {
    return chain; // whoever looks at it next says what is wrong
  }
  for (const url of readLinks(inHand.headers.link, 'alternate', inHand.url).slice(0, MOST_ALTERNATES)) {
    try {
      const other = text((await fetch(url)).data, 'a certificate chain');
      if (isPreferred(other)) return other;
    } catch (error) {
      signal.throwIfAborted();
      warn?.(`the alternate chain ${url} is passed over: ${describeError(error)}`);
    }
  }
  return chain;
}

/** Whether the topmost certificate of a chain was signed by an issuer of this common name. */
function endsAtIssuer(chain: string, issuer: string): boolean {
  const names = new X509Certificate(splitChain(chain).at(-1) ?? '').issuer.split('\n');
  return names.includes(`CN=${issuer}`);
}
