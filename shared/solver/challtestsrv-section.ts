import type { Parse, SectionReader } from '../config/section-reader.ts';

/** dns-01 through the management interface of Pebble's challtestsrv: for tests. */
export type ChalltestsrvConfig = { name: string; type: 'dns01-challtestsrv'; setTxtUrl: string };

export function parseChalltestsrv(section: SectionReader): ChalltestsrvConfig {
  const setTxtUrl = section.one('set-txt_url', parseSetTxtUrl) ?? 'http://localhost:8055/set-txt';
  section.finish();
  return { name: section.label, type: 'dns01-challtestsrv', setTxtUrl };
}

/** What clears a record stands beside what sets it, so the end is fixed. */
const parseSetTxtUrl: Parse<string> = (text, fail) => {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol))
    return fail('is not a URL such as http://localhost:8055/set-txt');
  return url.pathname.endsWith('/set-txt') ? url.href : fail('does not end in /set-txt');
};
