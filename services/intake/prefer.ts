/** RFC 7240: how long a client is ready to wait, and that it can come back for the result. */
export type Prefer = {
  /** The client understands 202. */
  async: boolean;
  /** Seconds; `undefined` when the client named none. */
  wait: number | undefined;
};

/** @param header the Prefer header; several headers are joined by commas. Of a preference given twice the first counts. */
export function parsePrefer(header: string): Prefer {
  const given = header.split(',').map((one): [string, string] => {
    const [name = '', value = ''] = (one.split(';')[0] ?? '').split('=');
    return [name.trim().toLowerCase(), value.trim().replace(/^"(.*)"$/, '$1')];
  });
  const preferences = new Map(given.reverse());
  const wait = preferences.get('wait');
  const seconds = wait !== undefined && /^\d{1,9}$/.test(wait) ? Number(wait) : undefined;
  return { async: preferences.has('respond-async') || seconds !== undefined, wait: seconds };
}
