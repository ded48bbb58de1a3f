import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Option } from 'commander';
import { type LocalEndpoint, startLocalEndpoint } from '../../local/index.ts';
import { type CommandFactory, defineCommand } from '../command.ts';
import { addJsonOptions, addVerboseOption, type CommonOptions } from '../options/common-options.ts';
import { parseCount } from '../options/upload-options.ts';
import type { LocalDocument } from '../schemas.ts';
import { UsageError } from '../usage-error.ts';

interface LocalOptions extends CommonOptions {
  readonly dir?: string;
  readonly port?: number;
  readonly host?: string;
  readonly region?: string;
  readonly control?: boolean;
}

export const localCommand: CommandFactory = defineCommand<LocalOptions>({
  name: 'local',
  operands: '',
  description:
    'Runs the embedded S3 and KMS endpoint in the foreground until Ctrl-C: for trying out and for tests, with keys in plain files. Its first line on stdout says that it is ready, and where.',
  help: {
    'The ready line': [
      'sealpipe local ready: endpoint=URL region=REGION access-key-id=ID secret-access-key=KEY dir=FOLDER',
      '(dir= is empty for a temporary folder). With --json it is one JSON document instead.',
    ],
    Examples: [
      'sealpipe local --dir ./try --port 9000',
      'sealpipe local --json --control      # for tests: the request log and the fault rules under /_sealpipe',
    ],
  },
  least: 0,
  most: 0,
  schema: 'local',
  addOptions: (command) => {
    command
      .option('--dir <folder>', 'keep buckets and keys there (default: a temporary folder, removed at the end)')
      .addOption(new Option('--port <n>', 'TCP port (default: any free one)').argParser(parseCount('--port', 0)))
      .option('--host <address>', 'address to listen on; anything but this machine lets others in (default: 127.0.0.1)')
      .option('--region <region>', 'region of its buckets (default: us-east-1)')
      .option('--control', 'serve the request log and take fault rules under /_sealpipe');
    addJsonOptions(
      command,
      'the ready line as one document: endpoint, port, region, accessKeyId, secretAccessKey, dir, …',
    );
    addVerboseOption(command);
  },
  run: async (_operands, options, context) => {
    const { dir, port, host, region, control = false, json } = options;
    if (port !== undefined && port > 65_535) throw new UsageError(`--port is given ${port}: expected 0 to 65535`);
    const isNew = dir !== undefined && !existsSync(resolve(dir));
    const endpoint = await startLocalEndpoint({
      control,
      allowInsecureLoopback: true,
      ...(dir === undefined ? {} : { dir: resolve(dir) }),
      ...(port === undefined ? {} : { port }),
      ...(host === undefined ? {} : { host }),
      ...(region === undefined ? {} : { region }),
    });
    try {
      if (isNew)
        context.note(
          `${endpoint.dir} is new: an S3 and KMS for trying out and for tests, whose keys lie there in plain files`,
        );
      const document = describe(endpoint, { dir, control });
      await (json === true ? context.output.json(document) : context.output.line(readyLine(document)));
      await interrupted(context.signal);
    } finally {
      await endpoint.close();
    }
  },
});

function describe(
  endpoint: LocalEndpoint,
  { dir, control }: { dir: string | undefined; control: boolean },
): LocalDocument {
  const { accessKeyId, secretAccessKey } = endpoint.credentials;
  return {
    endpoint: endpoint.endpoint,
    port: endpoint.port,
    region: endpoint.region,
    accountId: endpoint.accountId,
    accessKeyId,
    secretAccessKey,
    dir: dir === undefined ? null : endpoint.dir,
    control,
    pid: process.pid,
  };
}

function readyLine({ endpoint, region, accessKeyId, secretAccessKey, dir }: LocalDocument): string {
  return `sealpipe local ready: endpoint=${endpoint} region=${region} access-key-id=${accessKeyId} secret-access-key=${secretAccessKey} dir=${dir ?? ''}`;
}

async function interrupted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}
