import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeProxy, parseProxy, readProxy } from '../../../shared/config/proxy.ts';

const loopback = 'localhost,127.0.0.0-127.255.255.255,::1';
const url = 'http://proxy.example:3128/';

test('readProxy() reads HTTPS_PROXY and NO_PROXY as curl does, with the names in lower case first', () => {
  assert.equal(readProxy({}), undefined);
  assert.equal(readProxy({ HTTP_PROXY: url, http_proxy: url, NO_PROXY: '*' }), undefined);
  assert.deepEqual(readProxy({ HTTPS_PROXY: url }), { HTTPS_PROXY: url, NO_PROXY: loopback });
  assert.deepEqual(readProxy({ HTTPS_PROXY: 'proxy.example:3128' })?.HTTPS_PROXY, url);
  const both = { https_proxy: 'https://one.example', HTTPS_PROXY: url, no_proxy: '*', NO_PROXY: 'a' };
  assert.deepEqual(readProxy(both), { HTTPS_PROXY: 'https://one.example/', NO_PROXY: `${loopback},*` });
  assert.equal(readProxy({ https_proxy: '', HTTPS_PROXY: url })?.HTTPS_PROXY, url);
});

for (const [written, read] of Object.entries({
  'ca.example': '.ca.example',
  '.ca.example': '.ca.example',
  '*.ca.example': '.ca.example',
  'ca.example:8443': 'ca.example:8443',
  '192.0.2.7': '192.0.2.7',
  '192.0.2.7/24': '192.0.2.0-192.0.2.255',
  '10.0.0.0/8': '10.0.0.0-10.255.255.255',
  '0.0.0.0/0': '0.0.0.0-255.255.255.255',
  '2001:db8::1': '2001:db8::1',
  '[2001:db8::1]': '2001:db8::1',
  'a, b c,,d': '.a,.b,.c,.d',
}))
  test(`readProxy() makes of NO_PROXY=${written} what Node takes for the same`, () => {
    assert.equal(readProxy({ HTTPS_PROXY: url, NO_PROXY: written })?.NO_PROXY, `${loopback},${read}`);
  });

for (const bad of [
  'socks5://u:s3cret@proxy.example',
  'http://u:s3cret@proxy.example/path',
  'http://u:s3cret#@proxy.example',
  'http://u:s3cret%@proxy.example',
  'http://',
  'ftp://proxy.example',
  'a b',
])
  test(`readProxy() refuses ${bad} without repeating it`, () => {
    assert.throws(
      () => readProxy({ HTTPS_PROXY: bad }),
      (error: Error) =>
        /^environment: HTTPS_PROXY: (is not http|has more)/.test(error.message) &&
        !error.message.includes('s3cret'),
    );
  });

test('parseProxy() takes a proxy for every host, or none', () => {
  const read = (text: string) => parseProxy(text, reason => assert.fail(reason));
  assert.deepEqual(read('http://u:p%40ss@proxy.example:3128'), {
    HTTP_PROXY: 'http://u:p%40ss@proxy.example:3128/',
    HTTPS_PROXY: 'http://u:p%40ss@proxy.example:3128/',
  });
  for (const none of ['no', 'No', '']) assert.equal(read(none), 'none');
  assert.throws(() => read('socks5://proxy.example'));
});

test('describeProxy() says where a proxy is, and not who may use it', () => {
  assert.equal(describeProxy({ HTTPS_PROXY: 'http://u:p%40ss@proxy.example:3128/' }), 'proxy.example:3128');
});
