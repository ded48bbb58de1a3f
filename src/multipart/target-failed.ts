import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { SealpipeError } from '../errors.ts';

/** Why a file that a download goes to could not be written, as an error of ours. */
export function targetFailed(path: string, cause: unknown): SealpipeError {
  if (cause instanceof SealpipeError) return cause;
  // Of a link's target, where that is what failed.
  const { code, message, path: missing = path } = cause as NodeJS.ErrnoException;
  const why =
    code === 'ENOSPC'
      ? 'the disk is full'
      : code === 'EACCES' || code === 'EPERM'
        ? 'permission denied'
        : code === 'ENOENT'
          ? existsSync(dirname(missing))
            ? 'the temporary file beside it is gone'
            : 'its folder does not exist'
          : code === 'EROFS'
            ? 'the file system is read-only'
            : code === 'EDQUOT'
              ? 'the disk quota is used up'
              : message;
  return new SealpipeError(
    'TARGET_FAILED',
    `${path} cannot be written: ${why}; nothing was left there, and what was there before stays`,
    { cause },
  );
}
