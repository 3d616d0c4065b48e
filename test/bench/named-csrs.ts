import { crypto } from 'acme-client';

/** The name of the first CSR; those of others with one name are as long. */
export const firstName = 'host-00000-0.bench.example';

/** A CSR (PEM) and the names that it is for. */
export type NamedCsr = { names: string[]; csr: string };

/**
 * CSRs with different names, so many of them each, and one key: the CA does not mind, and it is the fastest
 * to make.
 *
 * @param keyPem by default a new one
 */
export async function makeCsrs(count: number, namesEach = 1, keyPem?: string): Promise<NamedCsr[]> {
  const key = keyPem ?? (await crypto.createPrivateEcdsaKey());
  const csrs: NamedCsr[] = [];
  while (csrs.length < count) {
    const names = Array.from(
      { length: namesEach },
      (_, index) => `host-${`${csrs.length}`.padStart(5, '0')}-${index}.bench.example`,
    );
    const [commonName = ''] = names;
    const [, csr] = await crypto.createCsr({ commonName, altNames: names }, key);
    csrs.push({ names, csr: csr.toString() });
  }
  return csrs;
}
