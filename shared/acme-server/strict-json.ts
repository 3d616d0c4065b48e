import { isUtf8 } from 'node:buffer';
import { AcmeError } from './problem.ts';

// JSON of clients, of which two readers must not be able to think differently.

const DEEPEST = 16;

export type JsonObject = Record<string, unknown>;

/**
 * Parses an object. A name that is there twice, or depth that no request needs, is refused.
 *
 * @param what as an error names it
 * @throws AcmeError `malformed`
 */
export function parseJsonObject(bytes: Uint8Array, what: string): JsonObject {
  const refuse = (reason: string): never => {
    throw new AcmeError('malformed', `${what} ${reason}`);
  };
  const text = decode(bytes) ?? refuse('is not UTF-8');
  const value = parse(text);
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isObject) refuse('is not a JSON object');
  const fault = findFault(text);
  return fault === undefined ? (value as JsonObject) : refuse(fault);
}

const decode = (bytes: Uint8Array): string | undefined =>
  isUtf8(bytes) ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString() : undefined;

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const tokens = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/gs;

/** @param text that is JSON: in any other, each escaped quote would be tried as the begin of a string */
function findFault(text: string): string | undefined {
  const open: Set<string>[] = [];
  for (const [token, colon] of text.matchAll(tokens)) {
    if (token === '{' || token === '[') open.push(new Set());
    else if (token === '}' || token === ']') open.pop();
    else if (colon !== undefined) {
      const name = String(parse(token.slice(0, -colon.length)));
      const names = open.at(-1);
      if (names?.has(name)) return 'has a name twice';
      names?.add(name);
    }
    if (open.length > DEEPEST) return `is nested deeper than ${DEEPEST}`;
  }
  return undefined;
}
