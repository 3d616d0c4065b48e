import { fromSealed, type Seals } from '../admission/hmac.ts';
import { isNumber, isText, listOf, oneOf, optional, parseValue, type Store, shapeOf } from '../base/redis.ts';
import type { PublicJwk } from './jws.ts';

// Accounts of ACME clients at Quarry, as Redis keeps them: not those that Quarry has at its CAs.

export type Account = {
  /** Unguessable. */
  id: string;
  key: PublicJwk;
  thumbprint: string;
  status: 'valid' | 'deactivated';
  contacts: string[];
  termsAgreed?: true;
  /** Milliseconds since the epoch. */
  created: number;
  /** The address that it was made from. */
  client: string;
  /** The external account binding itself, which each order is judged by anew. */
  binding?: { kid: string; jws: { protected: string; payload: string; signature: string } };
};

const isJwk = shapeOf<{ kty: string }>({ kty: isText });
const isBinding = shapeOf<NonNullable<Account['binding']>>({
  kid: isText,
  jws: shapeOf<{ protected: string; payload: string; signature: string }>({
    ...{ protected: isText, payload: isText, signature: isText },
  }),
});
const isAccount = shapeOf<Account>({
  ...{ id: isText, key: isJwk, thumbprint: isText, status: oneOf('valid', 'deactivated') },
  ...{ contacts: listOf(isText), termsAgreed: optional(oneOf(true)), created: isNumber, client: isText },
  binding: optional(isBinding),
});

export type Accounts = {
  /** Of the record in Redis. */
  key(id: string): string;
  /**
   * What Redis holds as the record of an account; `undefined` where it bears no seal for that.
   *
   * @throws IssuanceError `misconfigured` where it is damaged all the same
   */
  parse(id: string, sealed: string): Account | undefined;
};

export function openAccounts({ prefix }: Pick<Store, 'prefix'>, seals: Seals): Accounts {
  const keyOf = (id: string) => `${prefix}:acme:account:${id}`;
  return {
    key: keyOf,
    parse(id, sealed) {
      const text = fromSealed(seals, `acme account ${id}`, sealed);
      return text === undefined ? undefined : parseValue(keyOf(id), text, isAccount);
    },
  };
}
