import { footerDocument } from '../columnar/footer-document.ts';
import { footerText } from '../columnar/footer-text.ts';
import { addColumnarOptions, type ColumnarOptions, withColumnarObject } from '../columnar/reading-object.ts';
import { type CommandFactory, defineCommand } from '../command.ts';

export const footerCommand: CommandFactory = defineCommand<ColumnarOptions>({
  name: 'footer',
  operands: '<s3://bucket/key>',
  description:
    'Shows the schema, the row groups or stripes, their sizes and statistics of a Parquet, ORC or Arrow file, told apart by content, without reading the rest: mostly one request. An object without a segment index is larger than can be verified in part: --authenticate says what is to be done then.',
  help: {
    Examples: [
      'sealpipe footer s3://bucket/data.parquet --kms-key-id alias/my-key',
      'sealpipe footer s3://bucket/data.orc --aes-key-file key.hex --authenticate when-possible --json',
    ],
  },
  least: 1,
  most: 1,
  schema: 'footer',
  addOptions: (command) =>
    addColumnarOptions(command, 'one document: format, rows, groups with their columns, schema, metadata'),
  run: async ([operand = ''], options, context) =>
    withColumnarObject(operand, options, context, async (columnar) => {
      const document = await footerDocument(columnar, context);
      if (options.json === true) return context.output.json(document);
      for (const line of footerText(document, operand)) await context.output.line(line);
    }),
});
