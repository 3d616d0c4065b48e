import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openAdmission } from '../../../shared/admission/admit.ts';
import type { AuthBlockConfig } from '../../../shared/admission/auth-section.ts';
import { hmacMethod, parseHmacHeader } from '../../../shared/admission/hmac.ts';
import type { TakeOnce } from '../../../shared/admission/hmac2.ts';
import type { AdmissionRequest } from '../../../shared/admission/methods.ts';
import { hmacBlock } from '../../services/intake/open-intake.ts';
import { shownBlock } from '../../support/pages.ts';
import { toRequest } from './admission-request.ts';

const hex = 'ab'.repeat(32);
const nonce = 'c2l4dGVlbiBieXRlcy4+/==';
const claim = { hash: 'sha256', digest: Buffer.from(hex, 'hex'), once: { time: '1790000000', nonce } };

const readable = [
  `hmac2 name=sha256, time=1790000000, nonce=${nonce}, hash=${hex}`,
  `hmac2 name=sha256 time=1790000000 nonce=${nonce} hash=${hex}`,
  `hmac2 hash=${hex},nonce=${nonce},time=1790000000,name=sha256`,
  `  HMAC2   Name=SHA2-256 ,  Time="1790000000", NONCE="${nonce}", hash="${hex.toUpperCase()}", id=7 `,
];
for (const header of readable)
  test(`parseHmacHeader() reads ${header.replaceAll(new RegExp(hex, 'gi'), '<hex>')}`, () => {
    assert.deepEqual(parseHmacHeader({ authentication: header }), claim);
    assert.deepEqual(parseHmacHeader({ authorization: header }), claim);
  });

const with_ = (time: string, one: string) => `hmac2 name=sha256, ${time}, ${one}, hash=${hex}`;
const unreadable = [
  ...[`hmac2 name=sha256, time=1790000000, hash=${hex}`, `hmac2 name=sha256, nonce=${nonce}, hash=${hex}`],
  ...[
    with_('time=', `nonce=${nonce}`),
    with_('time=-1', `nonce=${nonce}`),
    with_('time=1e9', `nonce=${nonce}`),
  ],
  ...[with_('time=1790000000.5', `nonce=${nonce}`), with_('time=179000000000', `nonce=${nonce}`)],
  with_('time=1790000000, time=1790000001', `nonce=${nonce}`),
  with_('time=1790000000', `nonce=${nonce}, nonce=another-of-sixteen`),
  ...['', 'fifteen-letters', 'x'.repeat(65), 'sixteen:letters:', 'a-nonce-of-schöne-länge'].map(one =>
    with_('time=1790000000', `nonce=${one}`),
  ),
  `hmac3 name=sha256, time=1790000000, nonce=${nonce}, hash=${hex}`,
];
for (const header of unreadable)
  test(`parseHmacHeader() reads nothing from ${header.replaceAll(hex, '<hex>')}`, () => {
    assert.equal(parseHmacHeader({ authentication: header }), undefined);
    assert.equal(parseHmacHeader({ authorization: header }), undefined);
  });

/** The lines that are signed, written down once more by hand. */
function toClaim(
  { method, target }: Pick<AdmissionRequest, 'method' | 'target'>,
  { body = Buffer.alloc(0), key = 'old', type = 'sha256' } = {},
) {
  const digest = createHash(type).update(body).digest('hex');
  const lines = `hmac2\n${method}\n${target}\n1790000000\n${nonce}\n${digest}\n`;
  return { ...claim, hash: type, digest: createHmac(type, key).update(lines).digest() };
}

const post = { method: 'POST', target: '/revoke?reason=keyCompromise' };
const body = Buffer.from('a certificate\r\n\xff', 'latin1');
const signed = (more: Parameters<typeof toClaim>[1] = {}) =>
  toRequest({ ...post, claim: toClaim(post, { body, ...more }) });

/** Takes all, and says by which key and nonce. */
function takeAll() {
  const taken: string[] = [];
  const takeOnce: TakeOnce = async (key, { nonce }) => void taken.push(`${key} ${nonce}`);
  return { taken, takeOnce };
}

/** What the method says of a request, and how often it was to be taken. */
async function ask(request: AdmissionRequest, sent: Buffer | undefined = body, version?: 2) {
  const { taken, takeOnce } = takeAll();
  const method = hmacMethod(
    'web',
    { type: 'sha256', keys: ['new', 'old'], ...(version && { version }) },
    takeOnce,
  );
  return [method.possible(request), await method.holds(request, sent), taken.length];
}

test('a request of version 2 holds for each key, and is taken once', async () => {
  for (const version of [undefined, 2] as const) {
    assert.deepEqual(await ask(signed(), body, version), [true, { by: 'hmac key 2' }, 1]);
    assert.deepEqual(await ask(signed({ key: 'new' }), body, version), [true, { by: 'hmac key 1' }, 1]);
  }
});

test('a request without a body signs an empty one', async () => {
  const get = { method: 'GET', target: '/sign/0b5c3b1e-5d2a-4a55-9d3c-8d4b2b8f5a10' };
  const request = toRequest({ ...get, claim: toClaim(get) });
  const { takeOnce } = takeAll();
  const method = hmacMethod('web', { type: 'sha256', keys: ['old'] }, takeOnce);
  assert.deepEqual(await method.holds(request, undefined), { by: 'hmac key 1' });
});

const { once } = claim;
const changes: [what: string, change: (request: AdmissionRequest) => AdmissionRequest, sent?: Buffer][] = [
  ['method', request => ({ ...request, method: 'PUT' })],
  ['path', request => ({ ...request, target: '/sign?reason=keyCompromise' })],
  ['query', request => ({ ...request, target: '/revoke?reason=superseded' })],
  ['query (none)', request => ({ ...request, target: '/revoke' })],
  ['case of the path', request => ({ ...request, target: '/Revoke?reason=keyCompromise' })],
  ['body', request => request, Buffer.from('another')],
  ['body (none)', request => request, Buffer.alloc(0)],
  [
    'time',
    request => ({ ...request, claim: { ...toClaim(post, { body }), once: { ...once, time: '1790000001' } } }),
  ],
  [
    'spelling of the time',
    request => ({
      ...request,
      claim: { ...toClaim(post, { body }), once: { ...once, time: '01790000000' } },
    }),
  ],
  [
    'nonce',
    request => ({ ...request, claim: { ...toClaim(post, { body }), once: { ...once, nonce: `${nonce}=` } } }),
  ],
  ['key', request => ({ ...request, claim: toClaim(post, { body, key: 'foreign' }) })],
  ['version', request => ({ ...request, claim: { hash: 'sha256', digest: toClaim(post, { body }).digest } })],
];
for (const [what, change, sent] of changes)
  test(`a request of version 2 with another ${what} does not hold, and its nonce is left alone`, async () => {
    const [, verdict, taken] = await ask(change(signed()), sent);
    assert.deepEqual([verdict, taken], [undefined, 0]);
  });

test('hmac = v2 leaves no room for a request of version 1', async () => {
  const digest = createHmac('sha256', 'old').update(body).digest();
  const first = toRequest({ ...post, claim: { hash: 'sha256', digest } });
  assert.deepEqual(await ask(first), [true, { by: 'hmac key 2' }, 0]);
  assert.deepEqual(await ask(first, body, 2), [false, undefined, 0]);
});

for (const type of ['sha512', 'sha3-256'])
  test(`the body is digested by the hash of the HMAC: ${type}`, async () => {
    const method = hmacMethod('web', { type, keys: ['old'] }, takeAll().takeOnce);
    assert.deepEqual(await method.holds(signed({ type }), body), { by: 'hmac key 1' });
  });

const blockOf = (name: string, hmac: AuthBlockConfig['hmac']) => ({
  ...hmacBlock,
  name,
  ...(hmac && { hmac }),
});

test('a refusal to take a request is told in its words, and blocks that need no HMAC stay', async () => {
  const refuse: TakeOnce = async () => 'it came before';
  const own = blockOf('own', { type: 'sha256', keys: ['old'] });
  const other = blockOf('other', { type: 'sha256', keys: ['new'] });
  const { hmac: _, ...open } = { ...hmacBlock, name: 'open', all: true };
  const verify = async (...blocks: AuthBlockConfig[]) => {
    const admission = openAdmission(blocks, { takeOnce: refuse });
    return (await admission.verified([...admission.blocks], signed(), body)).map(({ name }) => name);
  };
  await assert.rejects(verify(own, other), { code: 'denied', message: 'it came before' });
  await assert.rejects(verify(other, own), { code: 'denied', message: 'it came before' });
  await assert.rejects(verify(other), {
    code: 'denied',
    message:
      'the HMAC does not match; compare the keys, and send the file as it was signed (curl --data-binary, not -d)',
  });
  assert.deepEqual(await verify(own, open), ['open']);
});

test('a request cannot be verified where nothing can take it', async () => {
  const admission = openAdmission([blockOf('own', { type: 'sha256', keys: ['old'] })]);
  await assert.rejects(admission.verified([...admission.blocks], signed(), body));
});

test('a key has a name in Redis of its own, which does not hold it', async () => {
  const { taken, takeOnce } = takeAll();
  for (const key of ['old', 'other'])
    await hmacMethod('web', { type: 'sha256', keys: [key] }, takeOnce).holds(signed({ key }), body);
  assert.equal(new Set(taken).size, 2);
  for (const name of taken) assert.match(name, /^[0-9a-f]{16} c2l4/);
});

test("the page's example is what OpenSSL prints, and what Quarry takes", async t => {
  const page = readFileSync(join(import.meta.dirname, '../../../shared/admission/hmac.md'), 'utf8');
  const script = shownBlock('shared/admission/hmac.md', 'sh');
  const [[, printed = ''] = [], [, header = ''] = []] = [...page.matchAll(/```text\n([^`]*)\n```/g)];
  const folder = mkdtempSync(join(tmpdir(), 'quarry-hmac-'));
  t.after(() => rmSync(folder, { recursive: true }));
  assert.equal(execFileSync('sh', ['-ec', script], { cwd: folder, encoding: 'utf8' }), `${printed}\n`);
  const claim = parseHmacHeader({ authentication: header.replace('Authentication: ', '') });
  const { takeOnce } = takeAll();
  const method = hmacMethod(
    'web',
    { type: 'sha256', keys: ['A1YP67armNf3cBrecyJHdb035'], version: 2 },
    takeOnce,
  );
  const request = toRequest({ method: 'POST', target: '/revoke?reason=superseded', claim });
  assert.deepEqual(await method.holds(request, readFileSync(join(folder, 'www.pem'))), { by: 'hmac key 1' });
});
