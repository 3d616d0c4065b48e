import manifest from '../../package.json' with { type: 'json' };

export const VERSION: string = manifest.version;

/** RFC 8555 section 6.1 wants a client to name itself. */
export const USER_AGENT = `quarry/${VERSION}`;
