import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatJson, parseJsonAsWritten } from '../../../shared/shaman/python-json.ts';

/** As Python 3.11's `json.dump(…, indent=4, sort_keys=True)` writes it. */
const python = `{
    "10": 1,
    "9": 2,
    "Z": true,
    "a": null,
    "b": {
        "x": [],
        "y": {},
        "z": [
            1,
            "\\u00e9\\u007f\\u2028\\ud83d\\ude00\\n\\u0001"
        ]
    },
    "\\u00fc": 1.5,
    "\\ue000": 3,
    "\\ud83d\\ude00": 4
}`;

test("formatJson() writes what Python's json.dump writes", () => {
  const nested = { z: [1, 'é\u007f\u2028😀\n\u0001'], y: {}, x: [] };
  const value = { b: nested, '😀': 4, '\ue000': 3, 9: 2, 10: 1, ü: 1.5, a: null, Z: true };
  assert.equal(formatJson(value), python);
  assert.equal(formatJson(JSON.parse(python)), python);
});

test('formatJson() writes numbers as parseJsonAsWritten() has found them', () => {
  for (const text of ['1.0', '1e5', '1E+400', '-0', '0.10', '12345678901234567890', '-1.50e-3', '7'])
    assert.equal(formatJson(parseJsonAsWritten(text)), text);
  assert.equal(formatJson(parseJsonAsWritten('{"__proto__": 1.0}')), '{\n    "__proto__": 1.0\n}');
});

test('parseJsonAsWritten() refuses what is no JSON', () => {
  assert.throws(() => parseJsonAsWritten('{"a": 1.}'), SyntaxError);
});
