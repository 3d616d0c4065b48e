import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Clock, Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import { findProgram } from './find-program.ts';

// What systemd hears of a service with Type=notify (sd_notify(3)), as lines in datagrams to a Unix socket.

export type NotifyVariables = {
  /** A path, or `@` and an abstract name. */
  socket: string;
  /** Milliseconds within which systemd wants to hear of the process, where it does. */
  watchdog: number | undefined;
};

/** Takes what systemd says out of the environment, as it is not for those that this process starts. */
export function takeNotifyVariables(env: NodeJS.ProcessEnv, pid: number): NotifyVariables | undefined {
  const { NOTIFY_SOCKET: socket = '', WATCHDOG_USEC, WATCHDOG_PID = `${pid}` } = env;
  delete env.NOTIFY_SOCKET;
  delete env.WATCHDOG_USEC;
  delete env.WATCHDOG_PID;
  if (!/^[/@]/.test(socket)) return undefined;
  const watchdog = Number(WATCHDOG_USEC) / 1000;
  return { socket, watchdog: watchdog > 0 && WATCHDOG_PID === `${pid}` ? watchdog : undefined };
}

type Readiness = { ready: boolean; lines: string[] };

type ServiceManager = Disposable & {
  /** Tells when the process is ready, and what it says of itself from then on. Disposing ends it. */
  follow(look: () => Promise<Readiness>): void;
  /** Tells that the configuration is read again, for as long as `act` takes. */
  whileReloading(act: () => Promise<unknown>): Promise<void>;
  stopping(): void;
};

/** Nobody listens. */
const silent: ServiceManager = {
  follow() {},
  async whileReloading(act) {
    await act();
  },
  stopping() {},
  [Symbol.dispose]() {},
};

/** Milliseconds between two looks: until it is ready, and then. */
const FIRST_LOOKS = 1_000;
const LATER_LOOKS = 10_000;
/** Milliseconds by which a start that is still waited for is prolonged each time. */
const MORE_TIME = 60_000;
const MORE_TIME_EACH = 15_000;

/**
 * Tells systemd how the process is doing.
 *
 * @param variables those of the environment; where they are absent, all this does nothing
 * @param path where programs are, as the environment has it
 */
export function openServiceManager(
  variables: NotifyVariables | undefined,
  { path, clock, log }: { path: string; clock: Clock; log: Log },
): ServiceManager {
  if (!variables) return silent;
  const send = openSender(variables.socket, path);
  if (!send) {
    log.warn('systemd cannot be told anything: neither systemd-notify nor perl is installed');
    return silent;
  }
  const ended = new AbortController();
  let isReady = false;
  let status = '';
  let before: Promise<void> = Promise.resolve();
  let isBroken = false;

  /** One after the other, as the order says something. */
  function tell(...lines: string[]): Promise<void> {
    before = before
      .then(() => send?.(lines))
      .then(
        () => {
          isBroken = false;
        },
        error => {
          if (!isBroken) log.warn({ reason: describeError(error) }, 'systemd cannot be told anything');
          isBroken = true;
        },
      );
    return before;
  }

  async function followOn(look: () => Promise<Readiness>): Promise<void> {
    for (let prolonged = Number.NEGATIVE_INFINITY; ; ) {
      const { ready, lines } = await look();
      const news = toStatus(lines) === status ? [] : [`STATUS=${toStatus(lines)}`];
      status = toStatus(lines);
      if (ready && !isReady) {
        isReady = true;
        news.unshift('READY=1');
      } else if (!isReady && clock.now() - prolonged >= MORE_TIME_EACH) {
        // A CA or a Redis that is away comes back without a restart of this process.
        prolonged = clock.now();
        news.unshift(`EXTEND_TIMEOUT_USEC=${MORE_TIME * 1000}`);
      }
      if (news.length > 0) await tell(...news);
      await clock.sleep(isReady ? LATER_LOOKS : FIRST_LOOKS, ended.signal);
    }
  }

  // A process whose event loop does not turn says nothing, and systemd starts it again.
  const { watchdog } = variables;
  const beat = watchdog === undefined ? undefined : setInterval(() => tell('WATCHDOG=1'), watchdog / 2);
  beat?.unref();

  return {
    follow: look => void followOn(look).catch(() => {}), // it ends with the signal
    async whileReloading(act) {
      if (!isReady) return void (await act());
      await tell('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
      await act();
      await tell('READY=1');
    },
    stopping() {
      ended.abort();
      void tell('STOPPING=1', 'STATUS=stopping');
    },
    [Symbol.dispose]() {
      ended.abort();
      clearInterval(beat);
    },
  };
}

const toStatus = (lines: string[]) => lines.join('; ').replace(/\s+/g, ' ').slice(0, 1_000);

/** Sends to the socket that NOTIFY_SOCKET names: its first argument is the first line, and so on. */
const SEND = `($to = $ENV{NOTIFY_SOCKET}) =~ s/^@/\\0/;
socket($out, AF_UNIX, SOCK_DGRAM, 0) or die "$!\\n";
send($out, join("\\n", @ARGV), 0, pack_sockaddr_un($to)) or die "$!\\n"`;

const LONGEST_SEND = 10_000;

/**
 * Node has no Unix datagram sockets. Where systemd is, `systemd-notify` is, which also waits until systemd
 * has seen who sends; a container may have perl alone.
 */
function openSender(socket: string, path: string): ((lines: string[]) => Promise<unknown>) | undefined {
  const [notify, perl] = ['systemd-notify', 'perl'].map(name => findProgram(name, path));
  const program = notify ?? perl;
  if (!program) return undefined;
  const words = program === notify ? [] : ['-MSocket', '-e', SEND];
  const options = { env: { PATH: path, NOTIFY_SOCKET: socket }, timeout: LONGEST_SEND };
  return lines => promisify(execFile)(program, [...words, ...lines], options);
}
