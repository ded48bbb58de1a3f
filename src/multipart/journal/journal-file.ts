/** The file of a journal: appended to and synced, cut back after a tear, put in place by rename. */
import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { SealpipeError } from '../../errors.ts';
import { identityOf } from '../file-identity.ts';
import { type JournalLock, lockJournal } from './journal-lock.ts';

export class JournalFile {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #lock: JournalLock;
  #length: number;
  /** Appends one after the other; the last one in the making. */
  #appending: Promise<void> = Promise.resolve();

  private constructor(path: string, handle: FileHandle, lock: JournalLock, length: number) {
    this.path = path;
    this.#handle = handle;
    this.#lock = lock;
    this.#length = length;
  }

  /** Opens and locks an existing journal. @returns undefined where there is none */
  static async open(path: string): Promise<{ file: JournalFile; bytes: Buffer } | undefined> {
    const handle = await open(path, 'r+').catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT') return undefined;
      throw unusable(path, cause);
    });
    if (handle === undefined) return undefined;
    try {
      const stats = await handle.stat({ bigint: true });
      if (!stats.isFile()) throw new Error('it is no regular file');
      const lock = await lockJournal(path, identityOf(stats));
      const bytes = await handle.readFile();
      return { file: new JournalFile(path, handle, lock, bytes.length), bytes };
    } catch (cause) {
      await handle.close();
      throw unusable(path, cause);
    }
  }

  /**
   * Makes a journal with its first bytes, in the place of whatever was there. File and directory entry are on the disk when it
   * resolves.
   */
  static async create(path: string, header: Buffer): Promise<JournalFile> {
    // The name alone, cut to what a folder takes, is that of other journals, too.
    const temporary = join(dirname(path), `.${basename(path).slice(0, 60)}.${randomBytes(6).toString('hex')}.new`);
    let handle: FileHandle | undefined;
    try {
      handle = await open(temporary, 'wx+', 0o600);
      const lock = await lockJournal(path, identityOf(await handle.stat({ bigint: true })));
      await writeAll(handle, header, 0);
      await handle.sync();
      await rename(temporary, path);
      await syncFolder(path);
      return new JournalFile(path, handle, lock, header.length);
    } catch (cause) {
      await handle?.close();
      await rm(temporary, { force: true });
      throw unusable(path, cause);
    }
  }

  /** Appends bytes; they are on the disk when it resolves. An error ends the upload: what is not on the disk must not be relied on. */
  append(bytes: Buffer): Promise<void> {
    return this.#write(bytes)
      .then(() => this.#handle.datasync())
      .catch((cause: unknown) => {
        throw unusable(this.path, cause);
      });
  }

  /** Appends bytes that may be lost with the machine, but not with the process. */
  appendUnsynced(bytes: Buffer): Promise<void> {
    return this.#write(bytes).catch((cause: unknown) => {
      throw unusable(this.path, cause);
    });
  }

  /** In order; a sync covers whatever others have written meanwhile. */
  #write(bytes: Buffer): Promise<void> {
    const position = this.#length;
    this.#length += bytes.length;
    const write = (): Promise<void> => writeAll(this.#handle, bytes, position);
    this.#appending = this.#appending.then(write);
    return this.#appending;
  }

  /** Cuts off a torn end, before anything is appended. */
  async cutBack(length: number): Promise<void> {
    await this.#handle.truncate(length);
    await this.#handle.sync();
    this.#length = length;
  }

  /** Lets go of the file, which stays. */
  async close(): Promise<void> {
    await this.#appending.catch(() => undefined);
    await this.#handle.close();
    await this.#lock.release();
  }

  /** Removes the file. */
  async remove(): Promise<void> {
    try {
      await rm(this.path, { force: true });
    } finally {
      await this.close();
    }
  }
}

/** A disk that fills up takes less than it was given, before it fails: a record that follows would hide the gap. */
async function writeAll(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** A new name in a folder survives a crash only when the folder is synced. Not every system can open one. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r').catch(() => undefined);
  if (folder === undefined) return;
  try {
    await folder.sync();
  } catch (cause) {
    if (!['EINVAL', 'EPERM', 'EISDIR', 'EBADF'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause;
  } finally {
    await folder.close();
  }
}

function unusable(path: string, cause: unknown): SealpipeError {
  if (cause instanceof SealpipeError) return cause;
  return new SealpipeError(
    'JOURNAL_INVALID',
    `the journal ${path} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
    { cause },
  );
}
