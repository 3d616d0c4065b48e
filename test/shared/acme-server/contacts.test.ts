import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseContacts } from '../../../shared/acme-server/contacts.ts';

suite('parseContacts()', () => {
  test('takes mail addresses, with mailto: or without', () => {
    assert.deepEqual(parseContacts(['mailto:a@example.org', 'b@example.org', 'MAILTO:c@example.org']), [
      ...['mailto:a@example.org', 'mailto:b@example.org', 'mailto:c@example.org'],
    ]);
    assert.equal(parseContacts(undefined), undefined);
  });

  test('refuses what would come out again as a control character', () => {
    for (const odd of ['\0', '\r\n', '\u001b[31m', '\u2028', '\u202e', '\u0085'])
      assert.throws(() => parseContacts([`mailto:a${odd}@example.org`]), { kind: 'invalidContact' });
  });
});
