import { fromSealed, type Seals, toSealed } from '../admission/hmac.ts';
import { isNumber, optional, parseValue, type Store, shapeOf } from '../base/redis.ts';
import type { CertificateLife } from '../pki/life.ts';
import type { WindowMemory } from '../renewal/ask-window.ts';
import { isInfo } from '../renewal/managed-certificate.ts';

const isMemory = shapeOf<WindowMemory>({ info: isInfo, askAgain: optional(isNumber), failures: isNumber });

/** What the CAs have said of when to renew the certificates of ACME clients; the whole fleet knows it. */
export type KnownWindows = {
  /** `undefined` where the CA was not asked yet, or what is there bears no seal. */
  read(renewalId: string): Promise<WindowMemory | undefined>;
  /** Keeps it until the certificate ends. */
  keep(renewalId: string, memory: WindowMemory, life: CertificateLife, now: number): Promise<void>;
};

/** @param seals of the installation */
export function openKnownWindows({ redis, prefix }: Store, seals: Seals): KnownWindows {
  const keyOf = (renewalId: string) => `${prefix}:acme:renewal-info:${renewalId}`;
  const nameOf = (renewalId: string) => `acme renewal info ${renewalId}`;
  return {
    async read(renewalId) {
      const text = await redis.get(keyOf(renewalId));
      const json = text ? fromSealed(seals, nameOf(renewalId), text) : undefined;
      return json === undefined ? undefined : parseValue(keyOf(renewalId), json, isMemory);
    },
    async keep(renewalId, { info, askAgain, failures }, { notAfter }, now) {
      const sealed = toSealed(seals, nameOf(renewalId), JSON.stringify({ info, askAgain, failures }));
      await redis.set(keyOf(renewalId), sealed, 'PX', Math.max(notAfter - now, 1));
    },
  };
}
