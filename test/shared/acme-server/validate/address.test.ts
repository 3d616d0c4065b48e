import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { findForeign } from '../../../../shared/acme-server/validate/address.ts';
import { reply, startScriptedDns } from '../../../support/scripted-dns.ts';
import { never } from './a-proof.ts';

const www = { type: 'dns', value: 'www.example.org' } as const;

/** Looks a name up that leads to these addresses. */
async function lookUp(addresses: string[], client: string, networks: string[] = []): Promise<string> {
  await using dns = await startScriptedDns(asked => {
    const [{ name = '', type } = {}] = asked.questions ?? [];
    const fitting = addresses.filter(address => address.includes(':') === (type === 'AAAA'));
    const answers = fitting.map(
      data => ({ name, type: type === 'AAAA' ? 'AAAA' : 'A', data, ttl: 1 }) as const,
    );
    return [reply(asked, answers, { rcode: addresses.length > 0 ? 0 : 3 })];
  });
  return await findForeign(www, { resolvers: [dns.server], networks, client }, never);
}

suite('whether a name leads to the client', () => {
  test('is so where one of its addresses is that of the client', async () => {
    assert.equal(await lookUp(['1.2.3.4'], '1.2.3.4'), '');
    assert.equal(await lookUp(['1.2.3.3', '1.2.3.4', '2a00::1'], '1.2.3.4'), '');
    assert.equal(await lookUp(['1.2.3.4', '2a00::0:1'], '2a00::1'), '');
  });

  test('is told with both addresses where it is not so', async () => {
    assert.equal(
      await lookUp(['1.2.3.4', '2a00::1'], '1.2.3.5'),
      'www.example.org leads to 2a00::1, 1.2.3.4, and your address is 1.2.3.5',
    );
    assert.equal(await lookUp([], '1.2.3.5'), 'www.example.org: no address found (ENOTFOUND)');
  });

  test('counts for addresses that are not public only where the block has them, and tells of no others', async () => {
    assert.match(await lookUp(['10.0.0.1'], '10.0.0.1'), /your address, 10\.0\.0\.1, as it is not public/);
    assert.equal(await lookUp(['10.0.0.1'], '10.0.0.1', ['10.0.0.0/8']), '');
    assert.equal(
      await lookUp(['10.0.0.1', '192.168.0.1'], '10.0.0.2', ['10.0.0.0/8']),
      'www.example.org leads to 10.0.0.1, and your address is 10.0.0.2',
    );
    assert.equal(
      await lookUp(['192.168.0.1'], '10.0.0.2', ['10.0.0.0/8']),
      'www.example.org leads to no public address, and your address is 10.0.0.2',
    );
  });

  test('says nothing of a wildcard, which the DNS would answer for', async () => {
    const any = { type: 'dns', value: '*.example.org' } as const;
    const sight = { resolvers: [{ host: '127.0.0.1', port: 1 }], networks: [], client: '1.2.3.4' };
    assert.match(await findForeign(any, sight, never), /a wildcard takes dns-01$/);
  });

  test('takes an address alone where it is that of the client', async () => {
    const look = (value: string, client: string) =>
      findForeign({ type: 'ip', value }, { resolvers: [], networks: [], client }, never);
    assert.equal(await look('1.2.3.4', '1.2.3.4'), '');
    assert.equal(await look('1.2.3.4', '1.2.3.5'), '1.2.3.4 is not your address, which is 1.2.3.5');
  });
});
