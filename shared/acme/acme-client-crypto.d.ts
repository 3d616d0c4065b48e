// acme-client's public `crypto`, from its own file: the package's main file loads axios and 286 modules.

declare module 'acme-client/src/crypto/index.js' {
  /** The public JWK of a PEM key, its members sorted (RFC 7638). */
  export function getJwk(keyPem: string): Record<string, string>;
}
