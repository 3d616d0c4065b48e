import { fetchRenewalInfo, renewalInfoId } from '../../../shared/acme/renewal-info.ts';
import { revokeCertificate } from '../../../shared/acme/revoke.ts';
import { describeError } from '../../../shared/base/errors.ts';
import { readCertificate, splitChain } from '../../../shared/pki/certificate.ts';
import { parseRevocationReason, REASONS_TEXT } from '../../../shared/pki/revocation.ts';
import { UsageError } from '../command.ts';
import type { AcmeAction } from './action.ts';
import { exampleReg } from './examples.ts';
import { toText } from './print.ts';
import { readText, withAccount } from './session.ts';

const REG = 'reg KEY-FILE ACCOUNT-ID SERVER cert';

/** RFC 8555 section 7.6 and RFC 9773. */
export const certificateActions: AcmeAction[] = [
  {
    usage: `${REG} revoke FILE [--reason REASON]`,
    summary: `revokes the first certificate of a file; REASON is one of ${REASONS_TEXT}`,
    example: `${exampleReg} cert revoke example.org.cert.pub.pem --reason superseded`,
    async run(given, { env, write }) {
      const reason = toReason(given.option('reason'));
      const { pem, serial } = await readLeaf(given.one('FILE'));
      await withAccount(given, env, async ({ connection, account, signal }) => {
        const now = await revokeCertificate(connection, account, pem, reason, signal);
        write(`${now ? 'Revoked' : 'Revoked already'}: ${serial}\n`);
      });
    },
  },
  {
    usage: `${REG} renewal-info FILE`,
    summary: "shows when the CA suggests to renew a file's first certificate",
    example: `${exampleReg} cert renewal-info example.org.cert.pub.pem`,
    async run(given, { env, write }) {
      const { pem } = await readLeaf(given.one('FILE'));
      const id = renewalInfoId(pem);
      if (id === undefined) throw new Error('the certificate names no Authority Key Identifier to ask by');
      await withAccount(given, env, async ({ connection, signal }) => {
        const info = await fetchRenewalInfo(connection, id, signal);
        if (!info) throw new Error('the CA has no renewal information');
        const { start, end, explanationUrl: explanationURL, askAgain } = info;
        const suggestedWindow = { start: toTime(start), end: toTime(end) };
        const object = {
          suggestedWindow,
          ...(explanationURL && { explanationURL }),
          askAgain: toTime(askAgain),
        };
        write(toText('Renewal information', { url: id, object }));
      });
    },
  },
];

function toReason(text: string | undefined) {
  if (text === undefined) return undefined;
  const reason = parseRevocationReason(text);
  if (reason) return reason;
  throw new UsageError(`--reason is one of ${REASONS_TEXT}, and not ${JSON.stringify(text)}`);
}

async function readLeaf(path: string): Promise<{ pem: string; serial: string }> {
  const text = await readText(path);
  try {
    const [pem = ''] = splitChain(text);
    return { pem, serial: readCertificate(pem).serial };
  } catch (error) {
    throw new Error(`${path}: ${describeError(error)}`);
  }
}

const toTime = (milliseconds: number) => new Date(milliseconds).toISOString();
