/**
 * One upload at a time on a journal. On Linux an abstract Unix socket named after what is locked: the kernel frees it when the
 * process dies, however it does. On Windows a named pipe, which is freed likewise; elsewhere a file beside the journal.
 *
 * Two locks: on the name, held from before the journal is looked for (two uploads that both find none would both begin), and on the
 * file, which another name may lead to.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open, readFile, realpath, rm, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { SealpipeError } from '../../errors.ts';

export interface JournalLock {
  release(): Promise<void>;
}

/** A system whose kernel frees a name when its process dies. */
const namesAreFreed = process.platform === 'linux' || process.platform === 'win32';

/**
 * Locks the place of a journal, whether there is one or not.
 * @throws SealpipeError JOURNAL_BUSY when another upload holds it, JOURNAL_INVALID when its folder is not there
 */
export async function lockJournalName(path: string): Promise<JournalLock> {
  try {
    if (!namesAreFreed) return await lockFile(`${path}.lock`, path);
    const folder = await realpath(dirname(path));
    const { dev, ino } = await stat(folder, { bigint: true });
    // A digest: names of sockets are short, those of files are not.
    const name = createHash('sha256')
      .update(`${dev} ${ino} ${basename(path)}`)
      .digest('hex')
      .slice(0, 32);
    return await listenAs(`sealpipe-journal-name-${name}`, path);
  } catch (cause) {
    if (cause instanceof SealpipeError) throw cause;
    throw new SealpipeError('JOURNAL_INVALID', `the journal ${path} cannot be used: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/**
 * Locks the file of a journal, under whatever name it was opened.
 * @throws SealpipeError JOURNAL_BUSY when another upload holds it
 */
export async function lockJournal(
  path: string,
  { device, inode }: { device: string; inode: string },
): Promise<JournalLock> {
  // Elsewhere the lock on the name has to do.
  if (!namesAreFreed) return { release: () => Promise.resolve() };
  return listenAs(`sealpipe-journal-${device}-${inode}`, path);
}

async function listenAs(name: string, path: string): Promise<JournalLock> {
  const address = process.platform === 'linux' ? `\0${name}` : join('\\\\.\\pipe', name);
  const server: Server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(cause.code === 'EADDRINUSE' ? busy(path) : cause));
    // In a worker of node:cluster its primary would listen otherwise, and share the socket with every worker that asks for it.
    server.listen({ path: address, exclusive: true }, resolve);
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
