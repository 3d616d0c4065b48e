import { fromSealed, type Seals, toSealed } from '../admission/hmac.ts';
import { isNumber, isText, listOf, optional, parseValue, type Store, shapeOf } from '../base/redis.ts';
import type { IssuedBy } from '../storage/storage.ts';

/** A certificate that an ACME client has ordered here. Times in milliseconds since the epoch. */
export type ClientCertificate = {
  /** SHA-256 of its DER, in hex. */
  fingerprint: string;
  /** RFC 9773 section 4.1; '' where it has no Authority Key Identifier. */
  renewalId: string;
  /** PEM, leaf first. */
  chain: string;
  /** The ids of the client's account at Quarry, and of its order there. */
  account: string;
  order: string;
  /** The auth block that admitted it. */
  block: string;
  issuedBy?: IssuedBy;
  notBefore: number;
  notAfter: number;
  names: string[];
  /** When the CA has revoked it. */
  revoked?: number;
  /** The id of the order that replaced it. */
  replacedBy?: string;
};

const isCertificate = shapeOf<ClientCertificate>({
  ...{ fingerprint: isText, renewalId: isText, chain: isText, account: isText, order: isText },
  ...{ block: isText, issuedBy: optional(shapeOf<IssuedBy>({ account: isText, directory: isText })) },
  ...{ notBefore: isNumber, notAfter: isNumber, names: listOf(isText) },
  ...{ revoked: optional(isNumber), replacedBy: optional(isText) },
});

export type Certificates = ReturnType<typeof openCertificates>;

/**
 * Where the certificates of ACME clients are, each as long as it lives. They are written with their order's
 * end.
 */
export function openCertificates({ prefix }: Pick<Store, 'prefix'>, seals: Seals) {
  const key = (fingerprint: string) => `${prefix}:acme:certificate:${fingerprint}`;
  const nameOf = (fingerprint: string) => `acme certificate ${fingerprint}`;
  return {
    key,
    /** Where the fingerprint of the certificate with this renewal id is. */
    renewalKey: (renewalId: string) => `${prefix}:acme:renewal:${renewalId}`,
    seal: (certificate: ClientCertificate) =>
      toSealed(seals, nameOf(certificate.fingerprint), JSON.stringify(certificate)),
    /**
     * @returns `undefined` where there is none with a good seal
     * @throws IssuanceError `misconfigured` where one is damaged
     */
    parse(fingerprint: string, text: string | null | undefined): ClientCertificate | undefined {
      const json = text ? fromSealed(seals, nameOf(fingerprint), text) : undefined;
      return json === undefined ? undefined : parseValue(key(fingerprint), json, isCertificate);
    },
  };
}
