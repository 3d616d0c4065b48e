import { parseForm } from '../form.ts';

/** The options of `quarry init`, as its help shows them: what each takes, and what it is for. */
const groups: Record<string, [form: string, meaning: string][]> = {
  'The five questions': [
    ['[--email ADDRESS]', 'where the CA may write to; none'],
    ['[--ca CA]', "staging, letsencrypt, or the URL of another CA's directory"],
    ['[--name GLOB]…', "names that may have certificates: www.example.org, '*.example.org'"],
    ['[--prove KIND]', 'how names are proven: http, dns, tls-alpn, program'],
    ['[--clients WHO]…', 'who may ask: this-machine, 192.0.2.0/24, key, key:web1.example.org, token'],
  ],
  'What belongs to an answer': [
    ['[--accept-terms]', "accepts the CA's terms of service, which init shows"],
    ['[--ca-file FILE]', "the root certificate of the CA's own TLS, in PEM"],
    ['[--eab-kid ID]', 'your key id at a CA that wants its customers only'],
    ['[--eab-hmac-key-file FILE]', 'and the key that belongs to it'],
    ['[--port PORT]', 'http and tls-alpn: where Quarry answers the CA'],
    ['[--dns-server HOST]', 'dns: the name server that takes dynamic updates'],
    ['[--tsig-key-file FILE]', "and their key, as BIND's tsig-keygen writes it"],
    ['[--program FILE]', 'program: what answers challenges'],
    ['[--program-challenge TYPE]', 'and which ones: http-01, dns-01, tls-alpn-01'],
    ['[--cleanup-program FILE]', 'and what undoes that'],
    ['[--listen ADDRESS:PORT]…', 'where clients come to; port 1313, of loopback for this-machine alone'],
  ],
  'How it is done': [
    ['[--systemd]', 'installs the units where no package has, and starts the service'],
    ['[--compose]', 'for the containers of compose.yaml, with .env beside it'],
    ['[--yes]', 'takes the defaults of what is not given, and asks nothing'],
    ['[--force]', 'writes a main.ini that is there anew; its keys stay, and a copy is kept'],
  ],
};

const all = Object.values(groups).flat();

/** The whole grammar, for completion. */
export const initForm = ['init', ...all.map(([form]) => form), '[FILE]'].join(' ');

/** For the reader of a command line. */
export const initOptions = Object.fromEntries(
  parseForm(initForm).options.map(({ name, value, many }) => [
    name,
    { type: value === undefined ? ('boolean' as const) : ('string' as const), multiple: many },
  ]),
);

const WIDTH = 27;

export function describeInitOptions(): string {
  const lines = Object.entries(groups).flatMap(([title, options]) => [
    '',
    `${title}:`,
    ...options.map(([form, meaning]) => `  ${form.replace(/^\[|\]…?$/g, '').padEnd(WIDTH)} ${meaning}`),
  ]);
  return `${lines.join('\n')}\n`;
}
