/** Where the journals of `put` are. */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { SealpipeError } from '../index.ts';
import type { UploadCommandOptions } from './options/upload-options.ts';
import type { UploadSource } from './upload-sources.ts';
import { UsageError } from './usage-error.ts';

type JournalOptions = Pick<UploadCommandOptions, 'journal' | 'journalDir'> & {
  readonly recursive?: boolean;
  readonly clientSide?: 'none';
};

/** @throws UsageError for a journal that could not be kept */
export function checkJournalOptions(files: readonly string[], options: JournalOptions): void {
  const { journal, journalDir, recursive, clientSide } = options;
  if (journal === undefined && journalDir === undefined) return;
  const flag = journal === undefined ? '--journal-dir' : '--journal';
  if ((journal ?? journalDir) === '')
    throw new UsageError(`${flag} is empty: name a ${journal === undefined ? 'folder' : 'file'}`);
  if (journal !== undefined && journalDir !== undefined)
    throw new UsageError('--journal is for one file, --journal-dir for several: give one of the two');
  if (files.includes('-')) throw new UsageError(`${flag} goes with files: stdin cannot be read again after a crash`);
  if (journal !== undefined && (files.length > 1 || recursive === true))
    throw new UsageError('--journal is for one file: for several, name a folder with --journal-dir');
  if (clientSide === 'none')
    throw new UsageError(`${flag} is about encrypted uploads, and --client-side none encrypts nothing here`);
}

/**
 * The journal of one upload. In a folder it is named after what goes where, so that the same command finds it again.
 * @throws SealpipeError JOURNAL_INVALID when the folder cannot be made
 */
export async function journalOf(source: UploadSource, options: JournalOptions): Promise<string | undefined> {
  const { journal, journalDir } = options;
  if (journalDir === undefined) return journal;
  try {
    await mkdir(journalDir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    const said = (cause as Error).message;
    throw new SealpipeError('JOURNAL_INVALID', `the folder ${journalDir} for journals cannot be made: ${said}`, {
      cause,
    });
  }
  const { bucket, key } = source.target;
  const hash = createHash('sha256')
    .update(JSON.stringify([resolve(source.name), bucket, key]))
    .digest('hex');
  return join(journalDir, `${hash.slice(0, 32)}.journal`);
}
