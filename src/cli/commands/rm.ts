import { type DeleteResult, type EncryptedS3, SealpipeError } from '../../index.ts';
import { type CommandFactory, defineCommand } from '../command.ts';
import type { CommandContext } from '../command-run.ts';
import { withLooking } from '../looking.ts';
import { addJsonOptions, addVerboseOption, type CommonOptions } from '../options/common-options.ts';
import { addInstructionSuffixOption } from '../options/format-options.ts';
import { addPlaceOptions, type PlaceOptions } from '../options/place-options.ts';
import { formatS3Url, parseObjectUrl, parseS3Url, type S3Url } from '../s3-url.ts';
import type { RmLine } from '../schemas.ts';

interface RmOptions extends CommonOptions, PlaceOptions {
  readonly recursive?: boolean;
  readonly instructionSuffix?: string;
}

/** Keys that are deleted at once: what one DeleteObjects takes. */
const batchLength = 1000;

export const rmCommand: CommandFactory = defineCommand<RmOptions>({
  name: 'rm',
  operands: '<s3://bucket/key...>',
  description:
    'Deletes objects with their instruction files and segment indexes. As S3 has it, an object that is not there is no error. In a versioned bucket older versions stay.',
  help: { Examples: ['sealpipe rm s3://bucket/data.parquet', 'sealpipe rm --recursive s3://bucket/tables/'] },
  least: 1,
  most: Number.POSITIVE_INFINITY,
  schema: 'rm',
  addOptions: (command) => {
    command.option('--recursive', 'delete every object whose key begins so');
    addInstructionSuffixOption(command);
    addPlaceOptions(command, { kms: false });
    addJsonOptions(command, 'what was deleted: bucket, deleted, companions, failed');
    addVerboseOption(command);
  },
  run: async (operands, options, context) => {
    const urls = operands.map(options.recursive === true ? parseS3Url : parseObjectUrl);
    const failures: SealpipeError[] = [];
    await withLooking(options, { instructionSuffix: options.instructionSuffix }, context, async ({ s3 }) => {
      for (const url of urls) {
        for await (const result of deletions(s3, url, options, context.signal)) {
          failures.push(...result.failed.map(({ error }) => error));
          await report(url, result, options, context);
          if (result.failed.some(({ error }) => concernsAll(error))) return;
        }
      }
    });
    const [first] = failures;
    if (first === undefined) return;
    if (failures.length === 1) throw first;
    throw new SealpipeError(
      'REQUEST_REJECTED',
      `${failures.length} objects were not deleted, the first of them because: ${first.message}`,
      {
        cause: first,
      },
    );
  },
});

async function* batches(
  s3: EncryptedS3,
  { bucket: Bucket, key }: S3Url,
  { recursive }: RmOptions,
  signal: AbortSignal,
): AsyncGenerator<DeleteResult> {
  if (recursive !== true) {
    yield await s3.delete({ Bucket, Key: key }, { signal });
    return;
  }
  let Keys: string[] = [];
  for await (const entry of s3.list({ Bucket, Prefix: key }, { companions: true, signal })) {
    Keys.push(entry.key);
    if (Keys.length < batchLength) continue;
    yield await s3.deleteMany({ Bucket, Keys }, { signal });
    Keys = [];
  }
  if (Keys.length > 0) yield await s3.deleteMany({ Bucket, Keys }, { signal });
}

/** As a result: what cannot be deleted does not keep the others. */
async function* deletions(
  s3: EncryptedS3,
  url: S3Url,
  options: RmOptions,
  signal: AbortSignal,
): AsyncGenerator<DeleteResult> {
  try {
    yield* batches(s3, url, options, signal);
  } catch (error) {
    if (!(error instanceof SealpipeError)) throw error;
    yield { deleted: [], companions: [], failed: [{ key: url.key, error }] };
  }
}

/** Whether the next object would fail alike, after as many attempts: interrupted, credentials, no network, throttled. */
function concernsAll(error: SealpipeError): boolean {
  return error.retryable || ['ERR_SEALPIPE_ABORTED', 'ERR_SEALPIPE_CREDENTIALS'].includes(error.code);
}

async function report(
  { bucket }: S3Url,
  result: DeleteResult,
  { json }: RmOptions,
  { output }: CommandContext,
): Promise<void> {
  const { deleted, companions, failed } = result;
  if (json === true) {
    const line: RmLine = {
      bucket,
      deleted: [...deleted],
      companions: [...companions],
      failed: failed.map(({ key, error: { code, message } }) => ({ key, code, message })),
    };
    return output.report(line);
  }
  for (const key of deleted) await output.report(`deleted ${formatS3Url({ bucket, key })}`);
}
