// PEM (RFC 7468): this reader is lax about text around the base64 and strict about the base64 itself.

type PemBlock = { label: string; der: Buffer };

const begin = /^-----BEGIN ([A-Z0-9 ]{1,64})-----$/;

/**
 * Reads the first block in `text` that carries one of `labels` into DER. Line ends, blank lines and text
 * around the block do not matter. Throws an Error when there is no such block, or when its content is not
 * base64.
 */
export function decodePem(text: string, labels: readonly string[]): Buffer {
  const [first] = decodePemBlocks(text, labels);
  if (!first) throw new Error(`no PEM block "${labels.join('" or "')}" was found`);
  return first.der;
}

/**
 * Reads all blocks in `text` that carry one of `labels`, in order. Throws an Error when one of them is
 * damaged.
 */
export function decodePemBlocks(text: string, labels: readonly string[]): PemBlock[] {
  const lines = text.split(/\r\n|\r|\n/).map(line => line.trim());
  const blocks: PemBlock[] = [];
  for (let at = 0; at < lines.length; at++) {
    const label = begin.exec(lines[at] ?? '')?.[1];
    if (label === undefined || !labels.includes(label)) continue;
    const end = lines.indexOf(`-----END ${label}-----`, at);
    if (end < 0) throw new Error(`the PEM block "${label}" does not end`);
    blocks.push({ label, der: decodeBase64(lines.slice(at + 1, end).join('')) });
    at = end;
  }
  return blocks;
}

/** Writes the block as `openssl` prints it: 64 columns, LF, a final newline. */
export function encodePem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString('base64');
  const lines = base64.match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

/**
 * Splits a chain into one PEM for each certificate. Throws an Error when it has no certificate, or a damaged
 * one.
 */
export function splitChain(text: string): string[] {
  const blocks = decodePemBlocks(text, ['CERTIFICATE']);
  if (blocks.length === 0) throw new Error('no PEM block "CERTIFICATE" was found');
  return blocks.map(({ der }) => encodePem('CERTIFICATE', der));
}

/** Joins certificate PEMs in their order (leaf first), with a blank line between them and a final newline. */
export function joinChain(pems: readonly string[]): string {
  return `${pems.map(pem => pem.trim()).join('\n\n')}\n`;
}

function decodeBase64(base64: string): Buffer {
  const der = Buffer.from(base64, 'base64');
  // Buffer skips characters that are not base64, so only a round trip shows whether all of the text was.
  if (der.length === 0 || der.toString('base64') !== base64)
    throw new Error('the PEM block does not hold valid base64');
  return der;
}
