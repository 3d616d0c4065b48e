import { decodePemBlocks, encodePem } from '../../shared/pki/certificate.ts';

const placeholder = 'host-00000';

/** The name that the first of all siblings is for. */
export const firstSibling = `${placeholder}.bench.example`;

/**
 * So many CSRs that differ in their name alone, written over in the one for `firstSibling`: its signature is
 * wrong then, but only an intake looks at that, and making each anew would take longer than all the rest.
 */
export function makeSiblings(firstPem: string, count: number): { name: string; csr: string }[] {
  const [block] = decodePemBlocks(firstPem, ['CERTIFICATE REQUEST']);
  if (!block) throw new Error('not a CSR');
  const der = block.der.toString('latin1');
  return Array.from({ length: count }, (_, index) => {
    const host = `host-${`${index}`.padStart(5, '0')}`;
    const csr = encodePem('CERTIFICATE REQUEST', Buffer.from(der.replaceAll(placeholder, host), 'latin1'));
    return { name: firstSibling.replace(placeholder, host), csr };
  });
}
