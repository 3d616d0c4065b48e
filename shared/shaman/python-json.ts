/** A number as it is written, where a JavaScript number would be written otherwise: `1.0`, `1e400`. */
class WrittenNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** TypeScript does not know yet what a reviver gets besides. */
type ParseJson = (
  text: string,
  revive: (key: string, value: unknown, context: { source?: string }) => unknown,
) => unknown;

/** For `formatJson`, which writes each number as it stood in the text. @throws SyntaxError */
export function parseJsonAsWritten(text: string): unknown {
  return (JSON.parse as ParseJson)(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && JSON.stringify(value) !== source
      ? new WrittenNumber(source)
      : value,
  );
}

const STEP = '    ';

/** As Python's `json.dump(…, indent=4, sort_keys=True)` writes it, in ASCII. */
export function formatJson(value: unknown, indent = ''): string {
  if (value instanceof WrittenNumber) return value.text;
  if (typeof value !== 'object' || value === null) return toAscii(JSON.stringify(value));
  const inner = indent + STEP;
  const lines = (parts: string[]) => parts.map(part => inner + part).join(',\n');
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]';
    return `[\n${lines(value.map(one => formatJson(one, inner)))}\n${indent}]`;
  }
  const members = Object.entries(value).sort(([one], [other]) => compareAsPython(one, other));
  if (members.length === 0) return '{}';
  const written = members.map(([key, one]) => `${formatJson(key)}: ${formatJson(one, inner)}`);
  return `{\n${lines(written)}\n${indent}}`;
}

/** By code points, as UTF-8 sorts too, and JavaScript does not. */
const compareAsPython = (one: string, other: string) => Buffer.compare(Buffer.from(one), Buffer.from(other));

const toAscii = (text: string) =>
  text.replace(/[\u007f-\uffff]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
