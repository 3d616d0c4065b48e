import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Process, startProcess } from './processes.ts';
import { provision } from './provision.ts';
import { tempDir } from './temp-dir.ts';

/**
 * An nginx with these `server` blocks in its `http`, on the ports that they name. It may read what this
 * process may.
 *
 * @param port one of the ports: it is ready when it listens there
 * @param stream a whole `stream` block beside it
 */
export async function startNginx(servers: string, port: number, stream = ''): Promise<Process> {
  const { nginx: command } = await provision(['nginx']);
  const module = stream && (await provision(['nginx-stream']))['nginx-stream'];
  await using started = new AsyncDisposableStack();
  const { path } = started.use(await tempDir());
  const file = join(path, 'nginx.conf');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    kind => `${kind}_temp_path ${path}/${kind};`,
  );
  await writeFile(
    file,
    `${module && `load_module ${module};`}
daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${path}/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    ${temporary.join(' ')}
    ${servers}
}
${stream}
`,
  );
  const running = await startProcess(command, ['-e', 'stderr', '-p', path, '-c', file], {
    name: 'nginx',
    ready: async () => (await fetch(`http://127.0.0.1:${port}/`)).status > 0,
  });
  started.use(running);
  const parts = started.move();
  return Object.assign(running, { [Symbol.asyncDispose]: () => parts.disposeAsync() });
}
