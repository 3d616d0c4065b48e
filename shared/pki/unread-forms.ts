// What some programs make and OpenSSL reads, but not Go, and so not most CAs: what to say of it.

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
