import { randomInt } from 'node:crypto';

// The parts of messages (RFC 1035 section 4) that are written by hand.

/**
 * Makes the id of a message. A sender that does not see the question cannot guess it (RFC 5452 section 9.2).
 */
export const newId = () => randomInt(0x1_0000);

/** Writes a name as `toName` gives it, uncompressed (RFC 1035 section 3.1). */
export function encodeName(name: string): Buffer {
  const labels = name === '' ? [] : name.split('.');
  const parts = labels.map(label =>
    Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')]),
  );
  return Buffer.concat([...parts, Buffer.alloc(1)]);
}

export function uint16(...values: number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length);
  values.forEach((value, index) => {
    bytes.writeUInt16BE(value, 2 * index);
  });
  return bytes;
}

export function uint48(value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUIntBE(value, 0, 6);
  return bytes;
}
