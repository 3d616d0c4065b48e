import { fromSealed, type Seals, toSealed } from '../admission/hmac.ts';
import { isNumber, isText, listOf, optional, parseValue, type Store, shapeOf } from '../base/redis.ts';
import { runInTurn, type ScriptRun } from '../base/run-in-turn.ts';
import type { IssuedBy } from '../storage/storage.ts';
import { replacing } from './replace-record.ts';

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
  /** When an operator wanted it reissued. */
  reissue?: number;
  /** The id of the order that replaced it. */
  replacedBy?: string;
};

const isCertificate = shapeOf<ClientCertificate>({
  ...{ fingerprint: isText, renewalId: isText, chain: isText, account: isText, order: isText },
  ...{ block: isText, issuedBy: optional(shapeOf<IssuedBy>({ account: isText, directory: isText })) },
  ...{ notBefore: isNumber, notAfter: isNumber, names: listOf(isText) },
  ...{ revoked: optional(isNumber), reissue: optional(isNumber), replacedBy: optional(isText) },
});

/** What became of a certificate. */
type Marks = Pick<ClientCertificate, 'revoked' | 'reissue' | 'replacedBy'>;

export type Certificates = ReturnType<typeof openCertificates>;

/**
 * Where the certificates of ACME clients are, each as long as it lives. They are written with their order's
 * end.
 */
export function openCertificates({ redis, prefix }: Store, seals: Seals) {
  const key = (fingerprint: string) => `${prefix}:acme:certificate:${fingerprint}`;
  const renewalKey = (renewalId: string) => `${prefix}:acme:renewal:${renewalId}`;
  const nameOf = (fingerprint: string) => `acme certificate ${fingerprint}`;
  const seal = (certificate: ClientCertificate) =>
    toSealed(seals, nameOf(certificate.fingerprint), JSON.stringify(certificate));

  function parse(fingerprint: string, text: string | null | undefined): ClientCertificate | undefined {
    const json = text ? fromSealed(seals, nameOf(fingerprint), text) : undefined;
    return json === undefined ? undefined : parseValue(key(fingerprint), json, isCertificate);
  }

  const read = async (fingerprint: string) => parse(fingerprint, await redis.get(key(fingerprint)));

  /**
   * What `mark` runs: it answers 1 where the certificate is still as it was read. `undefined` where there is
   * nothing to note.
   */
  async function marking(fingerprint: string, marks: Marks): Promise<ScriptRun | undefined> {
    const before = await redis.get(key(fingerprint));
    const certificate = parse(fingerprint, before);
    if (before === null || !certificate) return undefined;
    const after = seal({ ...marks, ...certificate });
    return after === before ? undefined : replacing(key(fingerprint), { before, after });
  }

  return {
    key,
    /** Where the fingerprint of the certificate with this renewal id is. */
    renewalKey,
    seal,
    /**
     * @returns `undefined` where there is none with a good seal
     * @throws IssuanceError `misconfigured` where one is damaged
     */
    parse,
    /** As `parse` does. */
    read,
    /** An id that none has costs one look. */
    async findByRenewalId(renewalId: string): Promise<ClientCertificate | undefined> {
      const fingerprint = await redis.get(renewalKey(renewalId));
      const found = fingerprint === null ? undefined : await read(fingerprint);
      return found?.renewalId === renewalId ? found : undefined;
    },
    marking,
    /** Notes what became of a certificate, where it is there. What was noted first stays. */
    async mark(fingerprint: string, marks: Marks): Promise<void> {
      for (;;) {
        const marked = await marking(fingerprint, marks);
        if (!marked || (await runInTurn(redis, [marked])) === 1) return;
      }
    },
  };
}
