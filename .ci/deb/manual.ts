import type { Command } from '../../services/cli/command.ts';

// quarry(1), made from what the commands say of themselves.

/** As roff reads it: no escapes, no requests, and hyphens that a terminal shows as they are typed. */
const toRoff = (text: string) =>
  text
    .replace(/\\/g, '\\e')
    .replace(/-/g, '\\-')
    .replace(/^([.'])/gm, '\\&$1');

/** @param date such as 2026-11-27 */
export function toManual(commands: Record<string, Command>, version: string, date: string): string {
  return `.TH QUARRY 1 ${date} "Quarry ${version}" "Quarry"
.SH NAME
quarry \\- central ACME certificate server
.SH SYNOPSIS
.B quarry
.I COMMAND
.RI [ WORD ...]
.SH DESCRIPTION
Hosts post a CSR and get a certificate back.
Quarry alone holds the accounts at the CAs, proves the names and renews.
.PP
.IR FILE ...
are INI files, or folders with *.ini in them, read as one.
.SH COMMANDS
${Object.values(commands).map(describe).join('')}${REST}`;
}

function describe({ usage, summary, example, describe: tellAll }: Command): string {
  const [first = '', ...others] = usage.map(form => `.B quarry ${toRoff(form)}\n`);
  const forms = `.TP\n${first}${others.map(form => `.TQ\n${form}`).join('')}`;
  const more = tellAll ? `.nf\n${toRoff(tellAll([]).trimEnd())}\n.fi` : `For example: ${toRoff(example)}`;
  return `${forms}${toRoff(summary)}\n.IP\n${more}\n`;
}

const REST = `.SH FILES
.TP
.I /etc/quarry/main.ini
the configuration, as quarry.service and quarry@.service read it
.TP
.I /etc/quarry/credentials/
secrets: the file NAME is what \${credential:NAME} stands for in main.ini
.TP
.I /etc/default/quarry
variables of the environment for the units
.TP
.I /var/lib/quarry/
accounts, certificates, and the data of the private Redis
.SH ENVIRONMENT
.TP
.B REDIS_URL
the Redis, where the configuration names none
.TP
.B ACME_CAFILE
CAs to trust besides, in PEM, for connections to ACME servers
.TP
.B QUARRY_LOG
the level of the log: debug, info, warn or error
.TP
.BR HTTPS_PROXY ", " NO_PROXY
how CAs are reached
.SH EXIT STATUS
0: done.
1: it failed, and says why in one line.
2: the words on the command line, or the configuration, are wrong.
.SH SEE ALSO
.BR quarry\\-get (1),
.BR systemctl (1)
`;

/**
 * quarry-get(1), made from what it says of itself: a line with its name and what it is, and the rest, which is
 * shown as it stands.
 */
export function toGetManual(help: string, version: string, date: string): string {
  const [first = '', ...rest] = help.trimEnd().split('\n');
  const [, does = first] = /^\S+: (.*)$/.exec(first) ?? [];
  return `.TH QUARRY-GET 1 ${date} "Quarry ${version}" "Quarry"
.SH NAME
quarry-get \\- ${toRoff(does)}
.SH DESCRIPTION
.nf
${rest.map(toRoff).join('\n')}
.fi
.SH FILES
.TP
.I /etc/quarry/get.d/
the certificates that this host gets, each in a file of its own
.SH SEE ALSO
.BR quarry (1)
`;
}
