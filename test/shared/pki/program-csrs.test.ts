import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCsr, readCsr } from '../../../shared/pki/csr.ts';
import { programCsrs } from '../../support/program-csrs.ts';

for (const { file, what, pem, names, refusal } of programCsrs) {
  if (refusal) {
    test(`parseCsr() refuses ${what} (${file}) and says what to do`, () => {
      assert.throws(() => parseCsr(readCsr(Buffer.from(pem)).der), { code: 'badCsr', message: refusal });
    });
  } else {
    test(`parseCsr() accepts ${what} (${file})`, () => {
      const { identifiers, unusual } = parseCsr(readCsr(Buffer.from(pem)).der);
      assert.deepEqual(
        identifiers.map(({ value }) => value),
        names,
      );
      assert.equal(unusual, undefined);
    });
  }
}
