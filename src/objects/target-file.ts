/** A file that comes into being whole or not at all: written under a temporary name beside it, renamed at the end. */
import { randomBytes } from 'node:crypto';
import { type FileHandle, lstat, open, readlink, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { SealpipeError } from '../errors.ts';
import { targetFailed } from '../multipart/target-failed.ts';

/** Bytes that are collected before they are written in one call. */
const writeLength = 1024 * 1024;

export class TargetFile {
  readonly #path: string;
  readonly #temporary: string;
  readonly #handle: FileHandle;
  #pending: Uint8Array[] = [];
  #pendingLength = 0;
  #position = 0;
  #open = true;

  private constructor(path: string, temporary: string, handle: FileHandle) {
    this.#path = path;
    this.#temporary = temporary;
    this.#handle = handle;
  }

  /**
   * Makes the temporary file (mode 0600). What stands at `path` stays as it is until {@link commit}.
   * @throws SealpipeError TARGET_FAILED when there is no such folder, no permission, or something that is no file
   */
  static async create(path: string): Promise<TargetFile> {
    try {
      // Absolute: a process may change its folder before the end.
      const target = resolve(await resolveLink(path));
      const folder = dirname(target);
      // Short enough for any file system, whatever the target's name is; hidden, and ours to recognise.
      const temporary = join(folder, `.${basename(target).slice(0, 60)}.${randomBytes(6).toString('hex')}.sealpipe`);
      return new TargetFile(target, temporary, await open(temporary, 'wx', 0o600));
    } catch (cause) {
      throw targetFailed(path, cause);
    }
  }

  /** Where the content is written until {@link commit}, for writers that put it there by themselves. */
  get temporaryPath(): string {
    return this.#temporary;
  }

  /** What another writer of the temporary file failed with, under the name that the caller knows. */
  failed(error: unknown): unknown {
    return error instanceof SealpipeError && error.code === 'ERR_SEALPIPE_TARGET_FAILED'
      ? targetFailed(this.#path, error.cause)
      : error;
  }

  /** Appends; `bytes` is kept until it is written, and must not change any more. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#pending.push(bytes);
    this.#pendingLength += bytes.length;
    if (this.#pendingLength >= writeLength) await this.#flush();
  }

  /**
   * Puts the content in the place of whatever was at the path. Without waiting for the disk, as other tools that copy: it would
   * cost a fifth of the time of a large download, and what a power failure loses can be fetched again.
   */
  async commit(): Promise<void> {
    try {
      await this.#flush();
      await this.#close();
      await rename(this.#temporary, this.#path);
    } catch (cause) {
      throw targetFailed(this.#path, cause);
    }
  }

  /** Removes the temporary file. */
  async discard(): Promise<void> {
    await this.#close().catch(() => undefined);
    await rm(this.#temporary, { force: true }).catch(() => undefined);
  }

  async #flush(): Promise<void> {
    try {
      let pieces = this.#pending;
      this.#pending = [];
      this.#pendingLength = 0;
      while (pieces.length > 0) {
        const { bytesWritten } = await this.#handle.writev(pieces, this.#position);
        this.#position += bytesWritten;
        pieces = after(pieces, bytesWritten);
      }
    } catch (cause) {
      throw targetFailed(this.#path, cause);
    }
  }

  async #close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#handle.close();
  }
}

/** What is left of some pieces after `length` bytes of them; a disk that fills up writes less than it was given. */
function after(pieces: readonly Uint8Array[], length: number): Uint8Array[] {
  let skip = length;
  return pieces.flatMap((piece) => {
    const skipped = Math.min(skip, piece.length);
    skip -= skipped;
    return skipped === piece.length ? [] : [piece.subarray(skipped)];
  });
}

/** The place that a link points to, so that the link stays one; anything but a file there is refused. */
async function resolveLink(path: string): Promise<string> {
  // Both would otherwise be found out when everything has been fetched.
  if (path === '') throw new Error('it has no name');
  if (path.endsWith('/') || path.endsWith(sep))
    throw new Error('its name ends in a slash, as that of a directory does');
  const found = await unlessMissing(lstat(path));
  if (found === undefined) return path;
  if (found.isSymbolicLink()) {
    const target = await unlessMissing(realpath(path));
    // A link to what is not there yet: its target comes to be, as with any other program that writes there.
    return resolveLink(target ?? resolve(await realpath(dirname(path)), await readlink(path)));
  }
  const { isFile, what } = kindOf(await stat(path));
  if (!isFile)
    throw new Error(
      `it is ${what}, which a file cannot be put in the place of; to write into it, stream the object there`,
    );
  return path;
}

async function unlessMissing<T>(look: Promise<T>): Promise<T | undefined> {
  return look.catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
}

function kindOf(found: { isFile(): boolean; isDirectory(): boolean; isFIFO(): boolean }): {
  isFile: boolean;
  what: string;
} {
  return { isFile: found.isFile(), what: found.isDirectory() ? 'a directory' : found.isFIFO() ? 'a FIFO' : 'a device' };
}
