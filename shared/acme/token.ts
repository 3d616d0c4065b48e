/**
 * What a challenge's token may look like: base64url with at least 128 bits of entropy (RFC 8555 section 8.3), and of a
 * sane length, as it becomes a key and a path.
 */
export const tokenPattern = /^[\w-]{16,512}$/;
