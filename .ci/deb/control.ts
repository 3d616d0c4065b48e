import { type Arch, debianArch } from './node.ts';

export type Control = { arch: Arch; version: string; maintainer: string; size: number };

/** @param size of all files, in KiB */
export const toControl = ({ arch, version, maintainer, size }: Control): string => `Package: quarry
Version: ${version}
Architecture: ${debianArch[arch]}
Maintainer: ${maintainer}
Installed-Size: ${Math.ceil(size)}
Depends: ${depends.join(', ')}
Recommends: ca-certificates, curl | wget, openssl
Suggests: nginx
Section: net
Priority: optional
Description: central ACME certificate server
 Hosts that have only openssl and curl, or any ACME client, get their
 certificates from Quarry. It alone holds the accounts at the CAs, proves the
 names and renews.
 .
 Node and all modules are in this package. "quarry init" writes the first
 configuration.
`;

/** What Node's program is linked against, by the versions of the symbols that it wants. */
const libraries = ['libc6 (>= 2.28)', 'libgcc-s1 (>= 3.4)', 'libstdc++6 (>= 7)'];

const depends = [
  'redis-server (>= 5:6.2) | valkey-server',
  ...libraries,
  // Where systemd is, it has both; elsewhere, as in a container, these are small.
  'systemd-standalone-sysusers | systemd-sysusers',
  'systemd-standalone-tmpfiles | systemd-tmpfiles',
];
