import { stat } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { readIfThere } from '../../../shared/base/atomic-file.ts';
import { explainFileError } from '../../../shared/base/file-error.ts';
import { bracketed } from '../../../shared/base/identifier.ts';
import type { AccountConfig } from '../../../shared/ca/account-section.ts';
import { ConfigError, describeSection } from '../../../shared/config/config-error.ts';
import type { Environment } from '../../../shared/config/environment.ts';
import { type IniSection, parseIni } from '../../../shared/config/ini.ts';
import { formatListener } from '../../../shared/config/listener.ts';
import { type Config, loadConfig } from '../../../shared/setup/load-config.ts';
import type { VerificationConfig } from '../../../shared/solver/kinds.ts';
import { type Defaults, toCaWord, UNCHANGED } from './questions.ts';

/** A main.ini that is there already. */
export type Existing = {
  text: string;
  sections: IniSection[];
  account: AccountConfig | undefined;
  /** What it answers the questions with. */
  defaults: Defaults;
};

/**
 * @returns undefined where there is no such file
 * @throws ConfigError where it cannot be used: then it cannot be told what has to stay of it
 */
export async function readExisting(file: string, env: Environment): Promise<Existing | undefined> {
  const text = await readFileIfThere(file).catch(error => {
    throw new ConfigError({ file }, `is there, and cannot be read: ${explainFileError(error)}`);
  });
  if (text === undefined) return undefined;
  const config = await loadConfig([file], env).catch(error => {
    if (!(error instanceof ConfigError)) throw error;
    throw new Error(`${error.message}; mend that, or move ${file} away`);
  });
  const account = config.accounts.get('default');
  return { text, sections: parseIni(text, file), account, defaults: toDefaults(config, account) };
}

/** Reading what is no file, such as a pipe, may last for ever. */
async function readFileIfThere(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found && !found.isFile()) throw new Error('it is no file');
  return readIfThere(path);
}

/** Whether a text would say nothing else; comments and empty lines are no matter. */
export function saysTheSame({ sections }: Pick<Existing, 'sections'>, text: string): boolean {
  return isDeepStrictEqual(toLines(sections), toLines(parseIni(text, '')));
}

const toLines = (sections: readonly IniSection[]) =>
  sections
    .flatMap(section =>
      section.options.map(({ key, value }) => `${describeSection(section)} ${key} = ${value}`),
    )
    .sort();

function toDefaults(config: Config, account: AccountConfig | undefined): Defaults {
  const { auth, mgmt, verifications } = config;
  const blocks = auth.filter(({ name }) => ['this-machine', 'network', 'hosts', 'tokens'].includes(name));
  const names = (blocks.length > 0 ? blocks : auth).flatMap(({ domains }) => domains);
  const proof = verifications.get(auth[0]?.verifications[0] ?? '');
  return {
    ...(account && { email: account.contact[0]?.replace(/^mailto:/, '') ?? 'none' }),
    ...(account && { ca: toCaWord(account.acmeServer) }),
    name: [...new Set(names)].join(' ') || undefined,
    listen:
      mgmt.listeners
        .filter(({ explicit }) => explicit)
        .map(formatListener)
        .join(' ') || undefined,
    clients: auth.flatMap(toClientWords).join(' ') || undefined,
    ...(proof && toProofDefaults(proof)),
  };
}

/** How a block would be asked for; nothing for those that `quarry init` does not make. */
function toClientWords({ name, ips, hmac, token, domains }: Config['auth'][number]): string[] {
  if (name === 'this-machine') return [name];
  if (name === 'network') return ips;
  if (hmac) return name === 'hosts' ? ['key'] : domains.length === 1 ? [`key:${name}`] : [];
  return token ? ['token'] : [];
}

function toProofDefaults(proof: VerificationConfig): Defaults {
  switch (proof.type) {
    case 'http01':
    case 'tlsalpn01':
      return {
        prove: proof.type === 'http01' ? 'http' : 'tls-alpn',
        port: proof.listeners[0] && String(proof.listeners[0].port),
      };
    case 'dns01-dnsUpdate': {
      const [server] = proof.servers;
      return {
        prove: 'dns',
        'dns-server': server && `${bracketed(server.host)}:${server.port}`,
        'tsig-key-file': proof.key && UNCHANGED,
      };
    }
    case 'program':
      return { prove: 'program', program: proof.command.path, 'program-challenge': proof.challenge };
    default:
      return {};
  }
}
