/** RFC 8555 section 7.1.1, with what other standards add. */
export type Directory = {
  urls: Partial<Record<(typeof resources)[number], string>>;
  termsOfService?: string;
  externalAccountRequired: boolean;
  /** What the CA calls itself in CAA records. */
  caaIdentities: string[];
  /** Names of certificate profiles; `undefined` where the CA offers no choice. */
  profiles?: string[];
};

const resources = [
  'newNonce',
  'newAccount',
  'newOrder',
  'revokeCert',
  'keyChange',
  'renewalInfo', // RFC 9773 section 3
] as const;

/** What has another type than it should is taken as absent. */
export function toDirectory(answer: Record<string, unknown>): Directory {
  const urls = resources.flatMap(name => (typeof answer[name] === 'string' ? [[name, answer[name]]] : []));
  const meta = (typeof answer.meta === 'object' && answer.meta !== null ? answer.meta : {}) as Record<
    string,
    unknown
  >;
  const { termsOfService, externalAccountRequired, caaIdentities, profiles } = meta;
  return {
    urls: Object.fromEntries(urls),
    ...(typeof termsOfService === 'string' && { termsOfService }),
    externalAccountRequired: externalAccountRequired === true,
    caaIdentities: Array.isArray(caaIdentities) ? caaIdentities.filter(one => typeof one === 'string') : [],
    ...(typeof profiles === 'object' && profiles !== null && { profiles: Object.keys(profiles) }),
  };
}
