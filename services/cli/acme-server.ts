import { openUrls } from '../../shared/acme-server/urls.ts';
import type { AuthBlockConfig } from '../../shared/admission/auth-section.ts';
import { describeSection } from '../../shared/config/config-error.ts';
import type { Config } from '../../shared/setup/load-config.ts';

// What an operator, and the owner of a host with an ACME client, have to know of the ACME server.

type Served = Pick<Config, 'acme' | 'auth'>;

const sectionOf = ({ name }: AuthBlockConfig) => describeSection({ name: 'auth', label: name });

/** Where the ACME server is, if there is one, and what the clients of each block need; without secrets. */
export function describeAcmeServer({ acme: { url }, auth }: Served): string[] {
  if (url === undefined) return [];
  const lines = auth.map(block => `  ${sectionOf(block)}: ${describeNeed(block)}`);
  return [`ACME server: ${openUrls(url).directory}`, ...lines];
}

function describeNeed({ name, hmac, token }: AuthBlockConfig): string {
  if (hmac && token) return 'no ACME client, as a binding is by a key or by a token, and never by both';
  if (hmac) return `EAB key id ${JSON.stringify(name)}; quarry check --eab prints the key`;
  return token ? 'EAB key id and key of a token, as quarry token add prints them' : 'no EAB';
}

/** Why clients may not reach it at its URL, as its listeners or a proxy would have to be otherwise. */
export function describeUnreached({ acme: { url }, mgmt }: Pick<Config, 'acme' | 'mgmt'>): string[] {
  if (url === undefined) return [];
  const isSecure = url.startsWith('https:');
  if (isSecure && !mgmt.tls && mgmt.trustedProxies.length === 0)
    return [
      `[acme] url: ${url} needs tls-cert and tls-key in [mgmt], or a proxy that is a trusted-proxy there`,
    ];
  if (!isSecure && mgmt.tls) return [`[acme] url: ${url} is http, and the listeners of [mgmt] speak TLS`];
  return [];
}

/**
 * The keys of all blocks, as ACME clients take them: base64url of the bytes (RFC 8555 section 7.3.4).
 *
 * @throws Error in one line where there is no ACME server
 */
export function listEabKeys({ acme: { url }, auth }: Served): string {
  if (url === undefined) throw new Error('[acme] has no url, so there is no ACME server');
  const blocks = auth.filter(({ hmac, token }) => hmac && !token);
  const lines = blocks.flatMap(block => [
    '',
    sectionOf(block),
    `  key id: ${block.name}`,
    ...(block.hmac?.keys ?? []).map(key => `  key:    ${Buffer.from(key).toString('base64url')}`),
  ]);
  return [`directory: ${openUrls(url).directory}`, ...lines, ''].join('\n');
}
