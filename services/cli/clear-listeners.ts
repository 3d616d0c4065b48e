import type { AuthBlockConfig } from '../../shared/admission/auth-section.ts';
import { bracketed, isLoopback } from '../../shared/base/identifier.ts';
import { describeSection } from '../../shared/config/config-error.ts';
import { formatListener } from '../../shared/config/listener.ts';
import type { MgmtConfig } from '../../shared/config/mgmt.ts';

/** What may go wrong where clients that prove who they are post to listeners without TLS, a line a block. */
export function describeClearListeners(
  blocks: readonly AuthBlockConfig[],
  { listeners, tls }: Pick<MgmtConfig, 'listeners' | 'tls'>,
): string[] {
  const clear = tls ? [] : listeners.filter(({ host }) => !isLoopback(bracketed(host)));
  if (clear.length === 0) return [];
  const where = clear.map(formatListener).join(', ');
  return blocks.flatMap(block => {
    const risk = riskOf(block);
    const section = describeSection({ name: 'auth', label: block.name });
    return risk
      ? [`${section}: ${where} is neither loopback nor TLS: whoever is on the way can ${risk}`]
      : [];
  });
}

/** Of a block with a token and an HMAC the HMAC's, as the token alone is good for nothing. */
function riskOf({ hmac, token }: AuthBlockConfig): string | undefined {
  if (hmac?.version === 2) return 'read requests and change answers; [mgmt] tls-cert and tls-key prevent it';
  if (hmac) return 'send a request again; hmac = v2 prevents it, and so do [mgmt] tls-cert and tls-key';
  return token && "use the client's token; [mgmt] tls-cert and tls-key prevent it";
}
