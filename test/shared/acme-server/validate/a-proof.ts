import type { Proof, Sight } from '../../../../shared/acme-server/validate/look.ts';

export const thumbprint = 'thumbprint-of-the-key-of-the-account';
export const keyAuthorization = `tokentokentokentoken.${thumbprint}`;

/** What a client has promised to show for a name, or the loopback address. */
export const aProof = (name?: string): Proof => ({
  ...{ token: 'tokentokentokentoken', thumbprint },
  identifier: name === undefined ? { type: 'ip', value: '127.0.0.1' } : { type: 'dns', value: name },
});

/** Where looks go: to this machine alone, whose client is at another address. */
export const aSight = (more: Partial<Sight> = {}): Sight => ({
  ...{ resolvers: [], httpPort: 1, tlsPort: 1, networks: ['127.0.0.0/8'], client: '127.0.0.1' },
  ...more,
});

export const never = new AbortController().signal;
