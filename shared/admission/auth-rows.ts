import type { OptionRows } from '../config/option-rows.ts';

/** Of `[auth "name"]`. */
export const authRows: OptionRows = {
  ip: { meaning: "the client's address or CIDR", otherwise: '' },
  hmac_type: { meaning: '`sha256`, `sha384`, `sha512`, …', otherwise: '' },
  hmac_key: { meaning: 'the key that requests are signed with; several for rotation', otherwise: '' },
  hmac: {
    meaning: '`v2`: only requests that nobody can [send again](shared/admission/hmac.md)',
    otherwise: 'both versions',
  },
  'client-cert': {
    meaning: "glob of the DNS names of the client's [certificate](shared/admission/client-certificates.md)",
    otherwise: '',
  },
  token: {
    meaning:
      '`yes`: clients with a [token](shared/admission/tokens.md) for the block, which narrows its names',
    otherwise: '`no`',
  },
  all: { meaning: '`yes` admits every client; must be said', otherwise: '`no`' },
  'client-proof': {
    meaning:
      '`address`, `http-01`, `dns-01`, `tls-alpn-01`, or several as `address, dns-01`: only [ACME clients that prove their names](shared/admission/client-proof.md) to Quarry in one of these ways',
    otherwise: 'nothing to prove',
  },
  'client-proof-network': {
    meaning: 'CIDR of addresses that are not public, and that names may lead to all the same',
    otherwise: 'none',
  },
  domain: {
    meaning: "glob of names, or `{client}`: the names in the client's own certificate",
    otherwise: '',
  },
  address: { meaning: 'CIDR of IP addresses that a CSR may name, or `{client}`', otherwise: '' },
  verification: {
    meaning:
      'names of such blocks, in the order of preference (`dns, http`): for each name the first that fits what the CA offers',
    otherwise: 'the default',
  },
  storage: { meaning: 'name of such a block', otherwise: 'the default' },
  account: {
    meaning: '[accounts](services/docs/cas.md) to order from, in the order of preference',
    otherwise: 'the default',
  },
  'certificate-profile': {
    meaning:
      "the certificate profile to order; of several accounts those go first whose CA offers it. Or one for each account, which its CA must offer: `default:shortlived, zerossl:tls`. A word before a colon that is no account's name is part of the profile",
    otherwise: "the CA's choice",
  },
  'preferred-chain': {
    meaning:
      'of several chains, the one whose topmost certificate was signed by the issuer of this common name; or one for each account: `default:ISRG Root X2, zerossl:USERTrust RSA`',
    otherwise: "the CA's first",
  },
  share: {
    meaning:
      "what of the orders of each of its accounts is this block's, and of the certificates that their CA allows for a registered domain which other blocks can have, too, such as `25%`: it can use no more, and the others cannot use it up ([shares](shared/limits/limits.md#shares))",
    otherwise:
      'all where no block of the account names a share, else what the named ones leave, together with all blocks that name none',
  },
  slots: {
    meaning:
      "how many of the block's orders run [at once in the whole fleet](shared/queue/turns.md#slots-of-a-block), such as `4`",
    otherwise: 'any number',
  },
  'queue-max': {
    meaning:
      'how many of its orders may [wait or run](shared/queue/turns.md#what-a-block-may-ask-for); a post beyond is 429',
    otherwise: 'any number',
  },
  rate: {
    meaning: 'how often each of its client addresses may send a request, such as `60/min`',
    otherwise: 'as often as it likes',
  },
  'block-rate': { meaning: 'how often all of them together may', otherwise: 'as often as they like' },
};
