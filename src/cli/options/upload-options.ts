import { type Command, Option } from 'commander';
import { parseByteSize } from '../byte-size.ts';
import { collectPair } from '../pairs.ts';
import { UsageError } from '../usage-error.ts';

export interface UploadCommandOptions {
  readonly partSize?: number;
  readonly queueSize?: number;
  readonly workers?: number;
  readonly partAttempts?: number;
  readonly restarts?: number;
  readonly journal?: string;
  readonly journalDir?: string;
  readonly expectSize?: number;
  readonly metadata?: Record<string, string>;
  readonly contentType?: string;
  readonly ifNoneMatch?: boolean;
  readonly segmentIndex?: boolean;
}

const group = 'Upload:';

export function addUploadOptions(command: Command): Command {
  const add = (flags: string, description: string, parse?: (argument: string, previous: never) => unknown): void => {
    const option = new Option(flags, description).helpGroup(group);
    command.addOption(parse === undefined ? option : option.argParser(parse as (argument: string) => unknown));
  };
  add('--recursive', 'upload what is in folders, too: under the key given, without the name of the folder');
  add(
    '--part-size <size>',
    'from 5MiB on; grows where 10 000 such parts do not suffice (default: 16MiB)',
    parseByteSize,
  );
  add(
    '--queue-size <n>',
    'parts in flight at the same time; memory is n parts and a quarter more (default: 4)',
    parseCount('--queue-size', 1),
  );
  add(
    '--workers <n>',
    'threads that encrypt, up to 64; 0: none but the main one (default: one a core, at most 8)',
    parseCount('--workers', 0),
  );
  add(
    '--part-attempts <n>',
    'sends of each part, the first included, always the same bytes (default: 5)',
    parseCount('--part-attempts', 1),
  );
  add(
    '--restarts <n>',
    'how often the whole upload of a file starts over under a fresh data key (default: 1)',
    parseCount('--restarts', 0),
  );
  add(
    '--journal <file>',
    'what an upload of a file needs to go on where it stopped: after a crash, a failure or Ctrl-C the same command finishes it',
  );
  add('--journal-dir <folder>', 'the same for several files: a journal each, in this folder');
  add(
    '--expect-size <size>',
    'refuse a source of any other length: a pipe that breaks looks like its end',
    parseByteSize,
  );
  add('--metadata <name=value>', 'user metadata, stored in the clear (repeatable)', collectPair('--metadata'));
  add('--content-type <type>', 'media type of the object');
  add(
    '--segment-index',
    'store a segment index beside the object (.key.segments): makes parts of it authentic when they are read. With a journal: to be asked for when the upload is begun',
  );
  add('--if-none-match', 'only where no object is there yet');
  return command;
}

/** A whole number from `least` on. */
export function parseCount(option: string, least: number): (argument: string) => number {
  return (argument) => {
    const count = /^\d+$/.test(argument) ? Number(argument) : Number.NaN;
    if (!Number.isSafeInteger(count) || count < least)
      throw new UsageError(`${option} is given ${JSON.stringify(argument)}: expected a whole number from ${least} on`);
    return count;
  };
}
