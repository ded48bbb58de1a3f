import { type CommandFactory, defineCommand } from '../command.ts';
import { addReadingOptions, type ReadingOptions, writeToStdout } from '../reading.ts';
import { parseObjectUrl } from '../s3-url.ts';

export const catCommand: CommandFactory = defineCommand<ReadingOptions>({
  name: 'cat',
  operands: '<s3://bucket/key>',
  description:
    'Decrypts an object to stdout: not a byte of it before the whole object was verified, or, of one too large for --max-buffered that has a segment index, before its segment was; unless --release delayed asks for that.',
  help: {
    Examples: [
      'sealpipe cat s3://bucket/notes.txt --kms-key-id alias/my-key',
      'sealpipe cat s3://bucket/db.sql --aes-key-file key.hex --release delayed | psql --single-transaction db',
    ],
  },
  least: 1,
  most: 1,
  addOptions: addReadingOptions,
  run: async ([operand = ''], options, context) => writeToStdout(parseObjectUrl(operand), options, context),
});
