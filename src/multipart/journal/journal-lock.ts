/**
 * One process at a time on a journal. On Linux an abstract Unix socket named after the file's device and inode: the kernel frees
 * it when the process dies, however it does. On Windows a named pipe, which is freed likewise; elsewhere a file beside it.
 */
import { type FileHandle, open, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { SealpipeError } from '../../errors.ts';

export interface JournalLock {
  release(): Promise<void>;
}

/** @throws SealpipeError JOURNAL_BUSY when another upload holds it */
export async function lockJournal(
  path: string,
  { device, inode }: { device: string; inode: string },
): Promise<JournalLock> {
  const name = `sealpipe-journal-${device}-${inode}`;
  if (process.platform === 'linux') return listenAs(`\0${name}`, path);
  if (process.platform === 'win32') return listenAs(`\\\\.\\pipe\\${name}`, path);
  return lockFile(`${path}.lock`, path);
}

async function listenAs(address: string, path: string): Promise<JournalLock> {
  const server: Server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(cause.code === 'EADDRINUSE' ? busy(path) : cause));
    server.listen(address, resolve);
  });
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}

async function lockFile(lock: string, path: string): Promise<JournalLock> {
  for (;;) {
    try {
      const handle: FileHandle = await open(lock, 'wx', 0o600);
      await handle.writeFile(String(process.pid));
      await handle.close();
      return { release: () => rm(lock, { force: true }) };
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
      const owner = Number(await readFile(lock, 'utf8').catch(() => ''));
      if (!(owner > 0) || isAlive(owner)) throw busy(path);
      await rm(lock, { force: true });
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function busy(path: string): SealpipeError {
  return new SealpipeError(
    'JOURNAL_BUSY',
    `the journal ${path} is in use by another upload: wait for that, or give this one a journal of its own`,
  );
}
