import { readFileSync } from 'node:fs';
import { join } from 'node:path';

// CSRs in the forms that real programs write and that CAs read in different ways, or not at all.

type ProgramCsr = {
  file: string;
  what: string;
  pem: string;
  /** That it is for, as OpenSSL reads them. */
  names: string[];
  /** What the intake says of it; absent where it is good. */
  refusal?: RegExp;
  /** What Pebble says of it when it is asked all the same. */
  byPebble?: RegExp;
};

const numbered = Array.from(
  { length: 100 },
  (_, number) => `host-number-${String(number).padStart(3, '0')}.department.example.org`,
);

export const programCsrs: ProgramCsr[] = [
  {
    file: 'both-extension-attributes.csr',
    what: "the same extensions in PKCS #9's and in Microsoft's attribute",
    names: ['server01.example.org'],
  },
  { file: 'hundred-names.csr', what: 'a hundred names, in more than 4 KiB', names: numbered },
  {
    file: 'microsoft-attribute-alone.csr',
    what: "names in Microsoft's attribute alone",
    names: ['ms.example.org'],
    refusal: /^the names are in Microsoft's attribute .* alone, which CAs do not read: ask for them in /,
    byPebble: /Order includes different number of DNSnames identifiers than CSR specifies/,
  },
  {
    file: 'no-attributes-element.csr',
    what: 'no attributes element',
    names: ['embedded.example.org'],
    refusal:
      /^the CSR lacks its attributes element.*: make the CSR with another program, such as openssl req$/,
    byPebble: /Error parsing Base64url-encoded CSR: asn1: .*/,
  },
  {
    file: 'no-attributes-no-null-bmp.csr',
    what: 'no attributes element, no NULL behind the signature algorithm, and a CN in UTF-16',
    names: ['token.example.org'],
    refusal: /^the CSR lacks its attributes element/,
    byPebble: /Error parsing Base64url-encoded CSR: asn1: .*/,
  },
  {
    file: 'rsa-key-without-null.csr',
    what: 'no NULL behind the RSA key’s algorithm',
    names: ['nonull.example.org'],
    refusal: /^the RSA key lacks the NULL .*: make the CSR with another program, such as openssl req$/,
    byPebble: /x509: RSA key missing NULL parameters/,
  },
  {
    file: 'ec-compressed-point.csr',
    what: 'a compressed point',
    names: ['compressed.example.org'],
    refusal: /^the EC key's point is compressed.* by openssl ec -conv_form uncompressed, and then the CSR$/,
    byPebble: /Error parsing Base64url-encoded CSR: /,
  },
].map(csr => ({
  ...csr,
  pem: readFileSync(join(import.meta.dirname, 'program-csrs', csr.file), 'utf8'),
}));
