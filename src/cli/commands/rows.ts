import { Option } from 'commander';
import { jsonRows } from '../columnar/json-rows.ts';
import { addColumnarOptions, type ColumnarOptions, withColumnarObject } from '../columnar/reading-object.ts';
import { type CommandFactory, defineCommand } from '../command.ts';
import { parseCount } from '../options/upload-options.ts';
import { UsageError } from '../usage-error.ts';

interface RowsOptions extends ColumnarOptions {
  readonly columns?: readonly string[];
  readonly limit?: number;
  readonly rowGroup?: readonly number[];
  readonly stripe?: readonly number[];
}

const selecting = 'Which rows:';

export const rowsCommand: CommandFactory = defineCommand<RowsOptions>({
  name: 'rows',
  operands: '<s3://bucket/key>',
  description:
    'Writes rows of a Parquet, ORC or Arrow file as JSON lines, reading the columns and row groups that they take and no more. Nothing is lost on the way: integers beyond 2^53 and decimals are strings, timestamps ISO 8601 with nanoseconds, bytes base64.',
  help: {
    Examples: [
      'sealpipe rows s3://bucket/data.parquet --columns id,price --limit 10 --kms-key-id alias/my-key',
      'sealpipe rows s3://bucket/data.orc --stripe 3 --aes-key-file key.hex --authenticate when-possible | jq .name',
    ],
    Packages: ['Rows of Parquet files take hyparquet: npm install hyparquet. ORC and Arrow take none.'],
  },
  least: 1,
  most: 1,
  schema: 'rows',
  addOptions: (command) => {
    command
      .addOption(
        new Option('--columns <names>', 'only these, divided by commas: id,address.city (repeatable)')
          .argParser((argument: string, previous: readonly string[] = []) => [...previous, ...names(argument)])
          .helpGroup(selecting),
      )
      .addOption(
        new Option('--limit <n>', 'so many rows at most').argParser(parseCount('--limit', 0)).helpGroup(selecting),
      )
      .addOption(groupOption('--row-group', 'only this row group, from 0; of Arrow, this record batch (repeatable)'))
      .addOption(groupOption('--stripe', 'only this stripe, from 0 (repeatable)'));
    addColumnarOptions(command, 'JSON lines, as without it');
  },
  run: async ([operand = ''], options, context) => {
    const { columns, limit, rowGroup, stripe } = options;
    await withColumnarObject(operand, options, context, async (columnar) => {
      const { format } = columnar;
      if (rowGroup !== undefined && format === 'orc') throw new UsageError('an ORC file has stripes: give --stripe');
      if (stripe !== undefined && format !== 'orc')
        throw new UsageError(
          `${format === 'parquet' ? 'a Parquet' : 'an Arrow'} file has no stripes: give --row-group`,
        );
      const selection = { columns, limit, groups: rowGroup ?? stripe, signal: context.signal };
      for await (const rows of jsonRows(columnar, selection)) {
        if (rows.length > 0) await context.output.line(rows.map((row) => JSON.stringify(row)).join('\n'));
      }
    });
  },
});

function groupOption(name: string, description: string): Option {
  const parse = parseCount(name, 0);
  return new Option(`${name} <n>`, description)
    .argParser((argument: string, previous: readonly number[] = []) => [...previous, ...argument.split(',').map(parse)])
    .helpGroup(selecting);
}

function names(argument: string): string[] {
  const found = argument.split(',');
  if (found.includes(''))
    throw new UsageError(`--columns is given ${JSON.stringify(argument)}: expected names divided by commas`);
  return found;
}
