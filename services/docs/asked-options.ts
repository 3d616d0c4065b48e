import { acmeRows, parseAcme } from '../../shared/acme-server/acme-section.ts';
import { authRows } from '../../shared/admission/auth-rows.ts';
import { parseAuth } from '../../shared/admission/auth-section.ts';
import { redisUsers } from '../../shared/base/redis-use.ts';
import { accountRows, parseAccounts } from '../../shared/ca/account-section.ts';
import { adminRows, parseAdmin } from '../../shared/config/admin.ts';
import { parseIni } from '../../shared/config/ini.ts';
import { loggingRows, parseLogging } from '../../shared/config/logging.ts';
import { mgmtRows, parseMgmt } from '../../shared/config/mgmt.ts';
import type { OptionRows } from '../../shared/config/option-rows.ts';
import { parseRedis } from '../../shared/config/redis.ts';
import { redisRows } from '../../shared/config/redis-rows.ts';
import type { Secret } from '../../shared/config/secret-file.ts';
import { fileKeyOf, type Parse, SectionReader } from '../../shared/config/section-reader.ts';
import { parseTrail, trailRows } from '../../shared/config/trail.ts';
import { parseWorker, workerRows } from '../../shared/config/worker.ts';
import { limitsRows, parseLimits } from '../../shared/limits/limits-section.ts';
import { notifyRows, parseNotify } from '../../shared/notify/notify-section.ts';
import { parseRenewal, renewalRows } from '../../shared/shaman/renewal-section.ts';
import { kinds, parseVerification, verificationRows } from '../../shared/solver/kinds.ts';
import { parseStorage, storageRows } from '../../shared/storage/storage-section.ts';

/** An option that a parser has asked for. */
export type AskedOption = {
  key: string;
  isRepeatable: boolean;
  /** Of a secret: the option that names a file with it. */
  fileKey?: string;
};

/** A section, or a kind of one: what its parser asks for, and what its rows tell of that. */
export type DocumentedSection = { heading: string; asked: AskedOption[]; rows: OptionRows };

/** Notes what a parser asks for, until it has asked for everything. */
class AskedReader extends SectionReader {
  readonly asked: AskedOption[] = [];

  override one<T>(key: string, parse: Parse<T>): T | undefined {
    this.#note({ key, isRepeatable: false });
    return super.one(key, parse);
  }

  override many<T>(...asked: Parameters<typeof SectionReader.prototype.many<T>>): T[] {
    this.#note({ key: asked[0], isRepeatable: true });
    return super.many(...asked);
  }

  override secret<T>(...asked: Parameters<typeof SectionReader.prototype.secret<T>>): T | undefined {
    this.#note({ key: asked[0], isRepeatable: false, fileKey: fileKeyOf(asked[0]) });
    return super.secret(...asked);
  }

  override secrets<T>(key: string, parse: Parse<T>): T[] {
    this.#note({ key, isRepeatable: true, fileKey: fileKeyOf(key) });
    return super.secrets(key, parse);
  }

  override secretOrFile(key: string, parse: Parse<string>): Secret | undefined {
    this.#note({ key, isRepeatable: false, fileKey: fileKeyOf(key) });
    return super.secretOrFile(key, parse);
  }

  override secretOrLaterFile(key: string, parse: Parse<string>, fileKey?: string): Secret | undefined {
    this.#note({ key, isRepeatable: false, fileKey: fileKey ?? fileKeyOf(key) });
    return super.secretOrLaterFile(key, parse, fileKey);
  }

  override finish(): never {
    throw new AllAsked();
  }

  #note({ fileKey, ...asked }: AskedOption): void {
    const key = toRowKey(asked.key);
    if (this.asked.some(one => one.key === key)) return;
    this.asked.push({ ...asked, key, ...(fileKey !== undefined && { fileKey: toRowKey(fileKey) }) });
  }
}

/** Ends the parsing: whether what was read fits together is no matter here. */
class AllAsked extends Error {}

const toRowKey = (key: string) => key.replace(ofUser, 'ROLE');
const ofUser = new RegExp(`(?<=-)(${redisUsers.join('|')})$`);

const anyName: Parse<string> = text => text;

const references = {
  ...{ account: anyName, verification: anyName, storage: anyName },
  ...{ accountNames: [], anyKeyAccounts: new Set<string>(), defaultAccounts: ['default'] },
  ...{ asksForCertificates: true, challengeOf: () => 'dns-01' as const },
  ...{ defaultVerification: () => 'dns', defaultStorage: () => 'none' },
};

/** @param texts where a part of the options excludes others, what makes the parser ask for each part */
function ask(read: (section: SectionReader) => unknown, ...texts: string[]): AskedOption[] {
  const asked = (texts.length > 0 ? texts : ['']).flatMap(text => askOf(read, text));
  return asked.filter(({ key }, at) => asked.findIndex(one => one.key === key) === at);
}

function askOf(read: (section: SectionReader) => unknown, text: string): AskedOption[] {
  const [section] = parseIni(`[section]\n${text}`, 'main.ini');
  if (!section) throw new Error('unreachable: a heading makes a section');
  const reader = new AskedReader(section, { env: {}, warnings: [], hidden: [], secretFiles: [] });
  try {
    read(reader);
  } catch (error) {
    if (error instanceof AllAsked) return reader.asked;
    throw error;
  }
  throw new Error('a parser did not finish its section');
}

const ways = [
  'url = https://a.example',
  'mail = a@b\nsmtp = smtp://b\nfrom = a@b',
  `command = ${process.execPath}`,
];

const kindsAsked = Object.entries(kinds).map(([type, { rows }]) => {
  const asked = ask(parseVerification, `type = ${type}`);
  const [ofAll, own] = [asked.filter(({ key }) => key === 'type'), asked.filter(({ key }) => key !== 'type')];
  return { ofAll, kind: { heading: `[verification] type = ${type}`, asked: own, rows } };
});

const acme = 'https://ca.example/directory';

export const documentedSections: DocumentedSection[] = [
  {
    heading: '[account]',
    asked: ask(one => parseAccounts({ accounts: [one], limits: [] }, {})),
    rows: accountRows,
  },
  { heading: '[limits]', asked: ask(one => parseLimits(one, acme)), rows: limitsRows },
  { heading: '[mgmt]', asked: ask(one => parseMgmt(one, references)), rows: mgmtRows },
  { heading: '[verification]', asked: kindsAsked[0]?.ofAll ?? [], rows: verificationRows },
  ...kindsAsked.map(({ kind }) => kind),
  {
    heading: '[storage]',
    asked: ask(parseStorage, 'type = file', 'type = redis', 'type = none'),
    rows: storageRows,
  },
  { heading: '[renewal]', asked: ask(one => parseRenewal(one, references)), rows: renewalRows },
  { heading: '[auth]', asked: ask(one => parseAuth(one, references)), rows: authRows },
  { heading: '[notify]', asked: ask(one => parseNotify(one, {}), ...ways), rows: notifyRows },
  { heading: '[logging]', asked: ask(one => parseLogging(one, {})), rows: loggingRows },
  { heading: '[redis]', asked: ask(one => parseRedis(one, {})), rows: redisRows },
  { heading: '[worker]', asked: ask(parseWorker), rows: workerRows },
  { heading: '[admin]', asked: ask(parseAdmin), rows: adminRows },
  { heading: '[acme]', asked: ask(parseAcme), rows: acmeRows },
  { heading: '[trail]', asked: ask(parseTrail), rows: trailRows },
];
