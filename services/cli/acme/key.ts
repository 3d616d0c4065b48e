import { createAtomically } from '../../../shared/base/atomic-file.ts';
import { explainFileError } from '../../../shared/base/file-error.ts';
import { generateKeyPem } from '../../../shared/pki/private-key.ts';
import type { AcmeAction } from './action.ts';

export const keyActions: AcmeAction[] = [
  {
    usage: 'key|keys create PATH',
    summary:
      'makes a private key (P-384, PKCS#8 PEM) that only its owner may read; never over a file that exists',
    example: 'key create account.key.priv.pem',
    async run(given) {
      const path = given.one('PATH');
      const made = await createAtomically(path, await generateKeyPem('P-384'), 0o600).catch(error => {
        throw new Error(`${path} cannot be written: ${explainFileError(error)}`);
      });
      if (!made) throw new Error(`${path} exists already; it is left as it is`);
    },
  },
];
