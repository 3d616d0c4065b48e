import { readFileSync } from 'node:fs';
import type { AuthBlockConfig } from '../../../shared/admission/auth-section.ts';
import { openTakeOnce } from '../../../shared/admission/hmac2.ts';
import { ecKey, makeCertificate, makeCsr } from '../../shared/pki/openssl-csr.ts';
import { showMoments } from '../../support/first-hour.ts';
import { hmac2Header, hmacBlock, hmacHeader, hmacKey, loopbackBlock, openIntake } from './open-intake.ts';

const csr = makeCsr({ names: 'DNS:www.example.org' });
const version2: AuthBlockConfig = { ...hmacBlock, hmac: { type: 'sha256', keys: [hmacKey], version: 2 } };

type Asked = { body?: string | Blob; headers?: Record<string, string>; method?: string; path?: string };

/** What a client reads whose address the block takes. */
async function ask(
  { body = csr, headers = {}, method = 'POST', path = '/sign' }: Asked,
  block: AuthBlockConfig = loopbackBlock,
  options: Parameters<typeof openIntake>[1] = {},
): Promise<string> {
  await using intake = await openIntake([block], options);
  const sent = method === 'GET' ? {} : { body };
  const answer = await fetch(intake.url + path, { method, headers, ...sent });
  return await answer.text();
}

/** @param outcome what Redis finds of the time and the nonce of the request */
async function askWhere(outcome: 'apart' | 'seen'): Promise<string> {
  const redis = { evalsha: async () => [outcome, 1_795_770_000] } as never;
  const takeOnce = openTakeOnce({ redis, prefix: '{quarry}' });
  return await ask({ headers: hmac2Header('POST', '/sign', csr) }, version2, { takeOnce });
}

showMoments('Posting a CSR', {
  'the post is not signed': () => ask({}, hmacBlock),
  'the post has no token': () => ask({}, { ...loopbackBlock, ips: [], token: true }),
  'a host without key or token has another address': () =>
    ask({}, { ...loopbackBlock, ips: ['192.0.2.0/24'] }),
  'the address is in no block': () =>
    ask({ headers: hmacHeader(csr) }, { ...hmacBlock, ips: ['192.0.2.0/24'] }),
  'the key is another one': () => ask({ headers: hmacHeader('another') }, hmacBlock),
  'the block wants HMACs of version 2': () => ask({ headers: hmacHeader(csr) }, version2),
  "the host's clock is wrong": () => askWhere('apart'),
  'curl repeats a signed request': () => askWhere('seen'),
  'curl -d': () => ask({ body: csr.replaceAll('\n', '') }),
  'curl without the @': () => ask({ body: 'www.csr' }),
  'GET in place of POST': () => ask({ method: 'GET' }),
  'another path': () => ask({ path: '/' }),
  'the key in place of the CSR': () => ask({ body: readFileSync(ecKey(), 'utf8') }),
  'the certificate in place of the CSR': () => ask({ body: makeCertificate() }),
  'a CSR in DER': () => ask({ body: new Blob([Buffer.from(csr.replace(/-----.*-----/g, ''), 'base64')]) }),
  'two CSRs': () => ask({ body: csr + csr }),
  'a CSR without names': () => ask({ body: makeCsr({ subject: '/O=Example' }) }),
  'a name that no block has': () => ask({ body: makeCsr({ names: 'DNS:www.example.com' }) }),
  'a wildcard, and only http-01': () => ask({ body: makeCsr({ names: 'DNS:*.example.org' }) }),
  'the CA takes longer than wait': () => ask({}),
});
