/** The folder of an endpoint: found or made, locked, and given back. */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { SealpipeError } from '../errors.ts';
import { type FolderLock, lockFolder } from './storage/folder-lock.ts';

const mark = 'sealpipe-local.json';
const ownFiles = [mark, 'README.txt', 'lock', 'lock.takeover'];
const layout = 1;

const notice = `This folder belongs to a sealpipe local endpoint: an S3 and KMS for trying out and for tests.

The keys in kms.json and tls.json lie in plain files, and objects are stored as they were sent. Do not keep anything here
that matters. Remove the whole folder to start afresh; change nothing in it while an endpoint runs.
`;

export interface EndpointFolder {
  readonly path: string;
  /** Whether the process before did not close it. */
  readonly tookOver: boolean;
  /** Whether it is removed with the endpoint. */
  readonly temporary: boolean;
  release(): void;
}

// A process that ends without closing its endpoints leaves neither locks nor temporary folders, unless it is killed.
const open = new Set<() => void>();

function releaseAll(): void {
  for (const release of open) release();
}

function prepare(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const why =
      code === 'EEXIST' || code === 'ENOTDIR'
        ? 'a file is in its place'
        : code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
          ? 'permission denied'
          : message;
    throw new SealpipeError(
      'CONFIG_INVALID',
      `the folder ${path} of a local endpoint cannot be used (${why}): give another one`,
      { cause },
    );
  }
  const marked = join(path, mark);
  if (!existsSync(marked)) {
    // Another process may be making it an endpoint's folder this very moment: the lock decides between the two.
    const others = readdirSync(path).filter((name) => !ownFiles.includes(name));
    if (others.length > 0) {
      throw new SealpipeError(
        'CONFIG_INVALID',
        `the folder ${path} holds other files and is no folder of a local endpoint: give an empty or a new one`,
      );
    }
    return;
  }
  let found: unknown;
  try {
    found = (JSON.parse(readFileSync(marked, 'utf8')) as { layout?: unknown } | null)?.layout;
  } catch (cause) {
    throw new SealpipeError('CONFIG_INVALID', `${marked} is damaged: give another folder, or remove this one`, {
      cause,
    });
  }
  if (found !== layout) {
    throw new SealpipeError(
      'CONFIG_INVALID',
      `the folder ${path} has layout ${JSON.stringify(found)}, this version reads ${layout}: give another folder`,
    );
  }
}

/**
 * Takes a folder for this process.
 *
 * @param dir undefined for a temporary one
 * @throws SealpipeError `LOCAL_BUSY`, `CONFIG_INVALID`
 */
export function takeFolder(dir: string | undefined): EndpointFolder {
  const temporary = dir === undefined;
  const path = temporary ? mkdtempSync(join(tmpdir(), 'sealpipe-local-')) : resolve(dir);
  prepare(path);
  const lock: FolderLock = lockFolder(path);
  if (!existsSync(join(path, mark))) {
    writeFileSync(join(path, 'README.txt'), notice, { mode: 0o600 });
    writeFileSync(join(path, mark), `${JSON.stringify({ layout })}\n`, { mode: 0o600 });
  }
  const release = (): void => {
    if (!open.delete(release)) return;
    if (open.size === 0) process.off('exit', releaseAll);
    if (temporary) rmSync(path, { recursive: true, force: true });
    else lock.release();
  };
  if (open.size === 0) process.on('exit', releaseAll);
  open.add(release);
  return { path, tookOver: lock.tookOver, temporary, release };
}
