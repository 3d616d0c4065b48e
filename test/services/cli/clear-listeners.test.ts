import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeClearListeners } from '../../../services/cli/clear-listeners.ts';
import type { AuthBlockConfig } from '../../../shared/admission/auth-section.ts';
import { hmacBlock, loopbackBlock } from '../intake/open-intake.ts';

const demanding: AuthBlockConfig = {
  ...hmacBlock,
  name: 'v2',
  hmac: { type: 'sha256', keys: ['k'], version: 2 },
};
const bearer: AuthBlockConfig = { ...loopbackBlock, name: 'bearer', token: true };
const both: AuthBlockConfig = { ...demanding, name: 'both', token: true };
const blocks = [hmacBlock, loopbackBlock, demanding, bearer, both];
const at = (...hosts: string[]) => hosts.map(host => ({ host, port: 1313, explicit: true }));
const tls = { certFile: '/c', keyFile: '/k' };

test('blocks with an HMAC or a token are warned of where others can read along, and told what prevents it', () => {
  const listeners = at('127.0.0.1', '192.0.2.13', '2001:db8::1', 'quarry.example');
  const where = '192.0.2.13:1313, [2001:db8::1]:1313, quarry.example:1313 is neither loopback nor TLS';
  assert.deepEqual(describeClearListeners(blocks, { listeners }), [
    `[auth "hmac"]: ${where}: whoever is on the way can send a request again; hmac = v2 prevents it, and so do [mgmt] tls-cert and tls-key`,
    `[auth "v2"]: ${where}: whoever is on the way can read requests and change answers; [mgmt] tls-cert and tls-key prevent it`,
    `[auth "bearer"]: ${where}: whoever is on the way can use the client's token; [mgmt] tls-cert and tls-key prevent it`,
    `[auth "both"]: ${where}: whoever is on the way can read requests and change answers; [mgmt] tls-cert and tls-key prevent it`,
  ]);
  for (const host of ['0.0.0.0', '::', 'localhost.example', '128.0.0.1'])
    assert.equal(describeClearListeners(blocks, { listeners: at(host) }).length, 4, host);
});

test('nothing is warned of where nobody can read along, or no client proves who it is', () => {
  assert.deepEqual(
    describeClearListeners(blocks, { listeners: at('127.0.0.1', '127.9.9.9', '::1', 'localhost') }),
    [],
  );
  assert.deepEqual(describeClearListeners(blocks, { listeners: at('192.0.2.13'), tls }), []);
  assert.deepEqual(describeClearListeners([loopbackBlock], { listeners: at('192.0.2.13') }), []);
});
