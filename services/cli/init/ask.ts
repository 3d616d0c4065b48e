import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { ConfigError } from '../../../shared/config/config-error.ts';
import type { Parse } from '../../../shared/config/parse.ts';
import { UsageError } from '../command.ts';

/** One thing that is to be known: by an option, or from a person at the terminal. */
export type Question<T> = {
  /** Without the hyphens; its value as the help calls it. */
  option: string;
  value: string;
  title: string;
  /** A line each. */
  help: string[];
  /** What stands for an empty answer, and for an option that is not given with `--yes`. */
  fallback?: string | undefined;
  /** It is not shown while it is typed. */
  isSecret?: true;
  parse: Parse<T> | ((text: string, fail: (reason: string) => never) => Promise<T>);
};

/** Somebody at a terminal. */
export type Terminal = Disposable & {
  say(text: string): void;
  /** @throws Error where the terminal ends, or the person gives up */
  line(prompt: string, how?: { isSecret: boolean }): Promise<string>;
};

/** Options by their names, as they were given; what may be given several times has spaces between. */
export type Given = Readonly<Record<string, string | undefined>>;

export type Answering = {
  /** Undefined where nobody can be asked. */
  terminal: Terminal | undefined;
  answer<T>(question: Question<T>): Promise<T>;
  /** @param option that says yes in its place */
  agree(what: string, option: string): Promise<boolean>;
};

/**
 * Takes answers from options, from a person where there is a terminal, and else from the defaults.
 *
 * @param takesDefaults whether a default is taken without asking
 */
export function openAnswering(
  given: Given,
  terminal: Terminal | undefined,
  takesDefaults: boolean,
): Answering {
  return {
    terminal,
    async answer(question) {
      const { option, fallback } = question;
      const written = given[option] ?? (takesDefaults ? fallback : undefined);
      if (written !== undefined) return fromOption(question, written);
      if (!terminal) throw new UsageError(`there is no terminal to ask at: give ${toUsage(question)}`);
      return askUntilGood(question, terminal);
    },
    async agree(what, option) {
      if (given[option] !== undefined) return true;
      if (!terminal || takesDefaults) return false;
      return /^y(es)?$/i.test((await terminal.line(`${what} [y/N] `)).trim());
    },
  };
}

/** The options that are missing where nobody can be asked. */
export function findMissing(questions: readonly Question<unknown>[], given: Given, takesDefaults: boolean) {
  return questions
    .filter(
      ({ option, fallback }) => given[option] === undefined && !(takesDefaults && fallback !== undefined),
    )
    .map(toUsage);
}

const toUsage = ({ option, value }: Pick<Question<unknown>, 'option' | 'value'>) => `--${option} ${value}`;

/** A reason why an answer will not do. */
class Refused extends Error {}

async function parseBy<T>(question: Question<T>, text: string): Promise<T> {
  return await question.parse(text.trim(), reason => {
    throw new Refused(reason);
  });
}

async function fromOption<T>(question: Question<T>, text: string): Promise<T> {
  try {
    return await parseBy(question, text);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    throw new UsageError(`--${question.option}: ${error.message}`);
  }
}

async function askUntilGood<T>(question: Question<T>, terminal: Terminal): Promise<T> {
  const { title, help, fallback, isSecret = false } = question;
  terminal.say(`\n${[title, ...help.map(line => `  ${line}`)].join('\n')}\n`);
  for (;;) {
    const typed = await terminal.line(fallback === undefined ? '> ' : `[${fallback}] > `, { isSecret });
    const text = typed.trim() === '' ? fallback : typed;
    if (text === undefined) {
      terminal.say('  an answer is needed\n');
      continue;
    }
    try {
      return await parseBy(question, text);
    } catch (error) {
      if (!(error instanceof Refused || error instanceof ConfigError)) throw error;
      const isToldOf = isSecret || error.message.includes(text.trim());
      terminal.say(`  ${isToldOf ? '' : `${text.trim()}: `}${error.message}\n`);
    }
  }
}

/** Lines that are typed ahead are kept for the questions to come. */
export function openTerminal(): Terminal {
  let isHidden = false;
  const output = new Writable({
    write(chunk, _encoding, done) {
      if (isHidden) return done();
      process.stdout.write(chunk, done);
    },
  });
  const reading = createInterface({ input: process.stdin, output, terminal: true, historySize: 0 });
  const lines = reading[Symbol.asyncIterator]();
  return {
    say: text => void process.stdout.write(text),
    async line(prompt, { isSecret } = { isSecret: false }) {
      reading.setPrompt(prompt);
      reading.prompt();
      isHidden = isSecret;
      const { value, done } = await lines.next();
      if (isHidden || done) process.stdout.write('\n');
      isHidden = false;
      if (done) throw new Error('nothing is written');
      return value;
    },
    [Symbol.dispose]: () => reading.close(),
  };
}
