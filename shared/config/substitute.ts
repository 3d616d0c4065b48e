import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describeError } from '../base/errors.ts';
import type { Environment } from './environment.ts';
import type { Hidden } from './hidden.ts';
import { readSecretFile } from './secret-file.ts';

/** Where Docker and Kubernetes put secrets. */
const CONTAINER_SECRETS = '/run/secrets';
/** What systemd puts before the names of a whole folder's files, as `LoadCredential=quarry:FOLDER` has it. */
const OF_A_FOLDER = 'quarry_';

/**
 * What a value says once each `${env:NAME}` in it is the variable of that name, and each `${credential:NAME}`
 * the secret that systemd ($CREDENTIALS_DIRECTORY) or a container engine (/run/secrets) hands in under that
 * name. All else stays as it is written, other `${…}` too; what comes in is not looked through again.
 *
 * @returns besides the text what came in, which counts as secret
 * @throws Error with a phrase that names what is absent, and repeats no value
 */
export function substitute(
  value: string,
  env: Environment,
  containerSecrets = CONTAINER_SECRETS,
): { text: string; hidden: Hidden[] } {
  const hidden: Hidden[] = [];
  const text = value.replace(/\$\{(env|credential):([^}]*)(\}?)/g, (written, kind, name, end) => {
    if (end === '') throw new Error(`has no } behind \${${kind}:`);
    const found = kind === 'env' ? readVariable(name, env) : readCredential(name, env, containerSecrets);
    hidden.push({ written, value: found });
    return found;
  });
  return { text, hidden };
}

function readVariable(name: string, env: Environment): string {
  if (!/^[A-Za-z_]\w*$/.test(name))
    throw new Error('names no variable of the environment: letters, digits and _ make a name');
  const found = env[name]?.trim();
  if (!found) throw new Error(`needs the variable ${name} of the environment, which is not set`);
  if (/[\r\n]/.test(found))
    throw new Error(`needs the variable ${name} of the environment, which has more than one line`);
  return found;
}

function readCredential(name: string, env: Environment, containerSecrets: string): string {
  if (!/^[\w.:-]+$/.test(name) || /^\.+$/.test(name))
    throw new Error('names no credential: letters, digits and . _ - : make a name');
  const { CREDENTIALS_DIRECTORY: systemd } = env;
  const ofSystemd = systemd === undefined ? [] : [join(systemd, name), join(systemd, OF_A_FOLDER + name)];
  const file = [...ofSystemd, join(containerSecrets, name)].find(path => existsSync(path));
  if (file === undefined)
    throw new Error(
      `needs the credential ${name}, which is not in ${describeFolders(env, containerSecrets)}`,
    );
  try {
    return readSecretFile(file);
  } catch (error) {
    throw new Error(`needs the credential ${name}, but ${file} ${describeError(error)}`);
  }
}

function describeFolders({ CREDENTIALS_DIRECTORY }: Environment, containerSecrets: string): string {
  return CREDENTIALS_DIRECTORY === undefined
    ? `${containerSecrets} (and CREDENTIALS_DIRECTORY is not set)`
    : `${CREDENTIALS_DIRECTORY} nor in ${containerSecrets}`;
}
