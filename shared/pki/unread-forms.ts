// What comes in place of a CSR that can be read: what to say of it, and what to do.

export const NO_NAME =
  'the CSR names no host: ask for one (openssl req -addext subjectAltName=DNS:www.example.org)';

/** Of a body without a PEM block of a CSR: what it holds instead. */
export function describeOther(text: string): string {
  const [, remedy] = others.find(([form]) => form.test(text)) ?? [];
  return `the body holds no PEM certificate request${remedy ?? ': post the file itself (curl --data-binary @host.csr)'}`;
}

const others: [form: RegExp, remedy: string][] = [
  [
    /BEGIN (\w+ )?PRIVATE KEY/,
    ', but a private key: post the CSR, and make a new key, as others may have seen it',
  ],
  [/BEGIN (NEW )?CERTIFICATE REQUEST/, ', as its line ends are gone: post it by curl --data-binary, not -d'],
  [/BEGIN CERTIFICATE/, ', but a certificate: post the CSR that it was made for'],
  [/^0[^\n\r -~]/, ', but DER: make PEM of it (openssl req -inform DER -in host.der -out host.csr)'],
];

// What some programs make and OpenSSL reads, but not Go, and so not most CAs.

const again = 'make the CSR with another program, such as openssl req';

/** RFC 2986 section 4 */
export const LACKS_ATTRIBUTES = `the CSR lacks its attributes element, which must be there even if empty: ${again}`;

/** RFC 3279 section 2.3.1 */
export const LACKS_NULL = `the RSA key lacks the NULL that belongs behind its algorithm: ${again}`;

/** RFC 5480 section 2.2 */
export const COMPRESSED_POINT =
  "the EC key's point is compressed, which CAs refuse: write the key anew, uncompressed, " +
  'by openssl ec -conv_form uncompressed, and then the CSR';

/** RFC 2985 section 5.4.2 */
export const MICROSOFT_ALONE =
  "the names are in Microsoft's attribute 1.3.6.1.4.1.311.2.1.14 alone, which CAs do not read: " +
  'ask for them in extensionRequest (PKCS #9, 1.2.840.113549.1.9.14), as openssl req does';
