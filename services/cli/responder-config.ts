import { withoutLogin } from '../../shared/base/redis-address.ts';
import { describeSection } from '../../shared/config/config-error.ts';
import type { Environment } from '../../shared/config/environment.ts';
import type { IniOption, IniSection } from '../../shared/config/ini.ts';
import { formatListener } from '../../shared/config/listener.ts';
import { readSections } from '../../shared/config/read-sections.ts';
import { loadConfig } from '../../shared/setup/load-config.ts';

/** What a responder reads of each section. All else stays out, so that no secret comes in by a new option. */
const needed: Record<string, readonly string[]> = {
  mgmt: ['trusted-proxy'],
  verification: ['type', 'listener', 'listeners', 'zone', 'ns', 'hostmaster', 'ttl', 'rate-limit'],
  redis: [
    ...[
      'url',
      'url-file',
      'cluster',
      'sentinel',
      'sentinel-master',
      'sentinel-user',
      'sentinel-password-file',
    ],
    ...['sentinel-tls', 'tls', 'ca-file', 'tls-cert', 'tls-key', 'prefix'],
    ...['user', 'password-file', 'user-responder', 'password-file-responder'],
  ],
  logging: ['level', 'destination', 'format'],
  admin: ['listener'],
};

/** Only where they are named, and not written. */
const neededIfNamed = ['password', 'password-responder', 'sentinel-password'];

const isNamed = (value: string) => /^\$\{(env|credential):[^}]*\}$/.test(value);

/**
 * The configuration of a responder, as INI: what it needs of these files, and no secret. A password in the
 * URL of Redis stays out; the file of a user's password is only named, as is what `${env:NAME}` and
 * `${credential:NAME}` stand for.
 *
 * @throws ConfigError as `loadConfig`
 */
export async function toResponderConfig(files: string[], env: Environment): Promise<string> {
  const { verifications } = await loadConfig(files, env);
  const listening = [...verifications.values()].filter(one => 'listeners' in one);
  const names = new Set(listening.map(({ name }) => name));
  const written = (await readSections(files)).flatMap(section => {
    const isAnswered = section.name !== 'verification' || names.has(section.label ?? '');
    const options = section.options.filter(
      ({ key, value }) =>
        needed[section.name]?.includes(key) ||
        (section.name === 'redis' && neededIfNamed.includes(key) && isNamed(value)),
    );
    return isAnswered && options.length > 0 ? [{ ...section, options }] : [];
  });
  const named = new Set(written.map(({ label }) => label));
  const implied = listening.filter(({ name }) => !named.has(name));
  const lines = [
    `# What a responder needs of ${files.join(' and ')}, without secrets. quarry check --for responder made it.`,
    ...written.flatMap(({ name, label, options }) => toLines({ name, label }, options)),
    ...implied.flatMap(({ name, type, listeners }) => [
      ...toLines({ name: 'verification', label: name }, [{ key: 'type', value: type }]),
      ...listeners.map(listener => `listener = ${formatListener(listener)}`),
    ]),
  ];
  return `${lines.join('\n')}\n`;
}

function toLines(
  heading: { name: string; label: IniSection['label'] },
  options: Pick<IniOption, 'key' | 'value'>[],
): string[] {
  const isUrl = (key: string) => heading.name === 'redis' && key === 'url';
  return [
    '',
    describeSection(heading),
    ...options.map(({ key, value }) => `${key} = ${isUrl(key) ? withoutWrittenLogin(value) : value}`),
  ];
}

/** As it is written, a URL need not be one yet. */
const withoutWrittenLogin = (url: string) =>
  /\$\{(env|credential):/.test(url) ? url.replace(/^(.*?:\/\/)?.*@/, '$1') : withoutLogin(url);
