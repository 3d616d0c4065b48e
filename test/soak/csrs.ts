import { crypto } from 'acme-client';
import type { PlannedCsr } from './plan-posts.ts';

export type Csr = PlannedCsr & { csrPem: string; keyPem: string };

/** A new P-256 key, and a CSR of it. Not by the openssl command, which takes a process each time. */
export async function makeCsr(planned: PlannedCsr): Promise<Csr> {
  const { names } = planned;
  const key = await crypto.createPrivateEcdsaKey();
  const [, csr] = await crypto.createCsr({ commonName: names[0], altNames: [...names] }, key);
  return { ...planned, csrPem: csr.toString(), keyPem: key.toString() };
}
