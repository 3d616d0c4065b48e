import type { Answers } from './answers.ts';
import { isLocal, type Option, type Place, portOf, type Section } from './main-ini.ts';

// What there is to do once main.ini is written, as lines to copy.

type Setting = {
  place: Place;
  /** How `quarry` is called here: `quarry`, or Node and a file. */
  quarry: string;
  /** Whether the service runs already, which makes its start no step. */
  isStarted: boolean;
  /** Whether there was a main.ini before, with which something may run. */
  isAgain: boolean;
  isRoot: boolean;
  /** Whether Debian's package brought this program. */
  isDebian: boolean;
  /** What is to be done before, such as giving the file to its user. */
  before?: string;
  /** How other hosts reach this one. */
  server: string;
};

/** The steps here, and then those of each host; nothing in them is secret. */
export function tellNextSteps(
  answers: Answers,
  sections: readonly Section[],
  { listeners, ...setting }: Setting & { listeners: readonly string[] },
): string {
  const urls = toUrls(listeners, setting);
  const ways = sections.flatMap(section => toWay(section, urls, setting));
  return [tellHere(setting), ...tellProxy(answers, setting.place), ...ways].join('\n');
}

/** A path as a word of a shell. */
const quoted = (path: string) => (/^[\w./:@+-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`);

const paragraph = (title: string, lines: string[]) =>
  `${title}\n${lines.map(line => `    ${line}\n`).join('')}`;

function tellHere({ place, quarry, isStarted, isAgain, isRoot, before }: Setting): string {
  const file = quoted(place.file);
  const sudo = isRoot ? '' : 'sudo ';
  const commands = {
    here: [`${quarry} check ${file}`, `${quarry} up ${file}`],
    system: isStarted
      ? [`${sudo}systemctl status quarry`, `${sudo}journalctl -u quarry -f`]
      : [`${sudo}systemctl ${isAgain ? 'restart' : 'enable --now'} quarry`, `${sudo}systemctl status quarry`],
    compose: [`docker compose up -d${isAgain ? ' --force-recreate' : ''}`, 'docker compose ps'],
  };
  return paragraph('Next:', [...(before === undefined ? [] : [before]), ...commands[place.kind]]);
}

/** Where something else has the CA's port. */
function tellProxy({ proof }: Answers, { kind }: Place): string[] {
  if (proof.kind === 'http' && proof.port !== 80) return [tellWebServer(proof.port)];
  if (proof.kind === 'tls-alpn' && proof.port !== 443 && kind !== 'compose')
    return [
      `What has port 443 passes acme-tls/1 on to ${proof.port}: shared/solver/tlsalpn01.md shows how.\n`,
    ];
  return [];
}

/** nginx obeys a `return` of a server before it looks for a location. */
const tellWebServer = (port: number) =>
  paragraph('The web server that has port 80 passes the challenges of all names on; nginx, in each server:', [
    `location /.well-known/acme-challenge/ { proxy_pass http://127.0.0.1:${port}; }`,
    '# and where that server leads all to https, in place of its own return:',
    'location / { return 301 https://$host$request_uri; }',
  ]);

type Urls = {
  /** For this machine itself. */
  own: string;
  url: string;
};

function toUrls(listeners: readonly string[], { server }: Setting): Urls {
  const outer = listeners.find(listener => !isLocal(listener)) ?? listeners[0] ?? '';
  const host = outer.replace(/:?\d+$/, '');
  const isEverywhere = ['', '0.0.0.0', '[::]'].includes(host);
  const inner = listeners.find(isLocal) ?? `127.0.0.1:${portOf(outer)}`;
  return { own: `http://${inner}`, url: `http://${isEverywhere ? server : host}:${portOf(outer)}` };
}

/** What a host of an auth block does. */
function toWay(section: Section, { own, url }: Urls, setting: Setting): string[] {
  const { name, label = '', options } = section;
  if (name !== 'auth') return [];
  const has = (key: string) => options.some(option => option.key === key);
  const host = toHost(options);
  if (has('token')) return [tellToken(host, url, setting)];
  if (has('hmac_key') || has('hmac_key_file')) return [tellKey(label, options, host, url, setting)];
  if (label === 'this-machine') return [tellThisMachine(toOwnNames(options), own, setting)];
  return label === 'network' ? [paragraph('On each host:', toGet(url, host, '', false))] : [];
}

const namesOf = (options: readonly Option[]) =>
  options.filter(({ key }) => key === 'domain').map(({ value }) => value);

/** What stands in for a wildcard is among them. */
const toOwnNames = (options: readonly Option[]) => [
  ...new Set([...namesOf(options).filter(name => !/[*?]/.test(name)), toHost(options)]),
];

/** A name that the block admits: one of a host, if it can be told. */
function toHost(options: readonly Option[]): string {
  const names = namesOf(options);
  const whole = names.find(name => !/[*?]/.test(name) && name.split('.').length > 2);
  const name = whole ?? names.find(one => one.startsWith('*.')) ?? names[0] ?? '';
  return name.replace(/[*?]+/g, 'www');
}

const toGet = (url: string, host: string, more: string, isRoot: boolean): string[] => [
  `curl -fsS ${url}/quarry-get -o quarry-get`,
  `${isRoot ? '' : 'sudo '}sh quarry-get install ${more}--reload 'systemctl reload nginx' ${host}`,
];

/** One certificate for all of its names. The package has brought quarry-get along. */
function tellThisMachine(all: string[], url: string, { isRoot, isDebian }: Setting): string {
  const names = all.join(' ');
  const install = `quarry-get install --server ${url} --reload 'systemctl reload nginx' ${names}`;
  const lines = isDebian ? [`${isRoot ? '' : 'sudo '}${install}`] : toGet(url, names, '', isRoot);
  return paragraph('On this machine:', lines);
}

/** The key goes from file to file, so that neither `ps` nor the history of a shell shows it. */
function tellKey(
  label: string,
  options: readonly Option[],
  host: string,
  url: string,
  setting: Setting,
): string {
  const { place, isRoot } = setting;
  const sudo = place.kind === 'here' || isRoot ? '' : 'sudo ';
  const file = options.find(({ key }) => key === 'hmac_key_file')?.value;
  const heading = `/^\\[auth "${label.replaceAll('.', '\\.')}"\\]$/,/^$/`;
  const read =
    file === undefined
      ? `${sudo}sed -n '${heading}s/^hmac_key = //p' ${quoted(place.file)} | head -n 1`
      : `${sudo}cat ${quoted(file)}`;
  const put = `ssh root@${host} 'mkdir -p /etc/quarry; umask 077; cat >/etc/quarry/get.key'`;
  const whose = label === 'hosts' ? 'each host with the key' : label;
  return [
    paragraph(`For ${whose}, here (its key goes there unseen), and then there:`, [
      `${read} | ${put}`,
      ...toGet(url, host, '--hmac-key-file /etc/quarry/get.key ', false),
    ]),
  ].join('');
}

function tellToken(host: string, url: string, { place, quarry, isRoot }: Setting): string {
  const sudo = place.kind === 'system' && !isRoot ? 'sudo ' : '';
  const [called, file] =
    place.kind === 'compose'
      ? ['docker compose run --rm cli', '/etc/quarry/main.ini']
      : [`${sudo}${quarry}`, quoted(place.file)];
  return paragraph(
    'For each host with a token, here (once Quarry runs), and then there, where the token is typed in:',
    [
      `${called} token add --names ${host} ${host} ${file}`,
      "sudo sh -c 'mkdir -p /etc/quarry; umask 077; cat >/etc/quarry/get.token'    # paste it, Enter, Ctrl-D",
      ...toGet(url, host, '--token-file /etc/quarry/get.token ', false),
    ],
  );
}
