import { openAcmeClient } from '../../../shared/acme/client.ts';
import { tokenPattern } from '../../../shared/acme/objects.ts';
import { fetchResource } from '../../../shared/acme/resource.ts';
import type { AcmeAction } from './action.ts';
import { exampleReg } from './examples.ts';
import { toText } from './print.ts';
import { toUrl, withAccount } from './session.ts';

const REG = 'reg KEY-FILE ACCOUNT-ID SERVER challenge CHALLENGE-ID';
const example = (word: string) => `${exampleReg} challenge https://acme.example/chall/1 ${word}`;

/** RFC 8555 sections 7.5.1 and 8.1. */
export const challengeActions: AcmeAction[] = [
  {
    usage: `${REG} status`,
    summary: 'shows a challenge',
    example: example('status'),
    async run(given, { env, write }) {
      const url = toUrl(given, 'CHALLENGE-ID');
      await withAccount(given, env, async ({ connection, account, signal }) => {
        write(toText('Challenge', await fetchResource(connection, account, url, signal)));
      });
    },
  },
  {
    usage: `${REG} authorize`,
    summary: 'prints the key authorization, which is to be found under the name that is to be proven',
    example: example('authorize'),
    async run(given, { env, write }) {
      const url = toUrl(given, 'CHALLENGE-ID');
      await withAccount(given, env, async ({ connection, account, signal }) => {
        const { token } = (await fetchResource(connection, account, url, signal)).object;
        if (typeof token !== 'string' || !tokenPattern.test(token))
          throw new Error('the challenge has no usable token');
        write(`Key authorization: ${openAcmeClient(connection, account, signal).keyAuthorization(token)}\n`);
      });
    },
  },
  {
    usage: `${REG} validate`,
    summary: 'has the CA look for the key authorization',
    example: example('validate'),
    async run(given, { env, write }) {
      const url = toUrl(given, 'CHALLENGE-ID');
      await withAccount(given, env, async ({ connection, account, signal }) => {
        await openAcmeClient(connection, account, signal).initiateChallenge(url);
        write(toText('Challenge', await fetchResource(connection, account, url, signal)));
      });
    },
  },
];
