import { join } from 'node:path';
import { SealpipeError } from '../../index.ts';
import { startLocalEndpoint } from '../../local/index.ts';
import { type CommandFactory, defineCommand } from '../command.ts';
import { demoReport } from '../demo/demo-report.ts';
import { DemoRun } from '../demo/demo-run.ts';
import { demoSource } from '../demo/demo-source.ts';
import { addJsonOptions, addVerboseOption, type CommonOptions } from '../options/common-options.ts';
import { packageFolder } from '../package-folder.ts';

export const demoCommand: CommandFactory = defineCommand<CommonOptions>({
  name: 'demo',
  operands: '[file]',
  description:
    'Shows the main job from end to end on the embedded endpoint, with no account: pipes a file (NDJSON and JSON by way of stream-json) into an encrypted upload while one part fails, lists it, reads it back, compares, and has a tampered copy refused. Leaves nothing behind.',
  help: { Examples: ['sealpipe demo', 'sealpipe demo my-data.parquet'] },
  least: 0,
  most: 1,
  schema: 'demo',
  addOptions: (command) => {
    addJsonOptions(command, 'one document with the figures in the place of the text');
    addVerboseOption(command);
  },
  run: async ([file], { json }, { output, signal }) => {
    const source = await demoSource(file ?? join(packageFolder(), 'fixtures/demo/orders.ndjson.gz'));
    const endpoint = await startLocalEndpoint({});
    try {
      const run = new DemoRun({ endpoint, source, signal });
      try {
        const report = demoReport({ source, endpoint: endpoint.endpoint });
        const show = async (lines: readonly string[]): Promise<void> => {
          if (json !== true) for (const line of lines) await output.line(line);
        };
        await show(report.begin());
        await show(report.uploaded(await run.upload()));
        await show(report.stored(await run.stored()));
        await show(report.listed(await run.list()));
        await show(report.downloaded(await run.download()));
        await show(report.tampered(await run.tamper()));
        const document = report.document();
        await (json === true ? output.json(document) : show(report.end()));
        const failed = document.checks.find(({ ok }) => !ok);
        if (failed !== undefined)
          throw new SealpipeError(
            'INTERNAL',
            `the demonstration found something that is not as it should be: ${failed.check}`,
          );
      } finally {
        await run.close();
      }
    } finally {
      await endpoint.close();
    }
  },
});
