import {
  EncryptedS3,
  type EncryptedUpload,
  type EncryptedUploadParams,
  plaintextUpload,
  SealpipeError,
  type UploadOptions,
} from '../../index.ts';
import { counted, formatByteSize, formatRate } from '../byte-size.ts';
import { type CommandFactory, defineCommand } from '../command.ts';
import type { CommandContext } from '../command-run.ts';
import { checkJournalOptions, journalOf } from '../journals.ts';
import { keyKind, missingKey, openKeyring } from '../keyring-options.ts';
import { addJsonOptions, addProgressOption, addVerboseOption, type CommonOptions } from '../options/common-options.ts';
import { addWriteFormatOptions, type WriteFormatOptions, writeSetting } from '../options/format-options.ts';
import { addKeyOptions, type KeyOptions } from '../options/key-options.ts';
import { addPlaceOptions, localFolder, type PlaceOptions } from '../options/place-options.ts';
import { addServerSideOptions, type ServerSideOptions, writeEncryption } from '../options/server-side-options.ts';
import { addUploadOptions, type UploadCommandOptions } from '../options/upload-options.ts';
import { type ProgressStyle, startProgress } from '../progress.ts';
import { formatS3Url, looksLikeS3Url, parseS3Url } from '../s3-url.ts';
import type { TransferDocument } from '../schemas.ts';
import { Session } from '../session.ts';
import { type UploadSource, uploadSources } from '../upload-sources.ts';
import { UsageError } from '../usage-error.ts';

interface PutOptions
  extends CommonOptions,
    PlaceOptions,
    KeyOptions,
    WriteFormatOptions,
    UploadCommandOptions,
    ServerSideOptions {
  readonly recursive?: boolean;
  readonly progress: ProgressStyle;
  readonly clientSide?: 'none';
}

export const putCommand: CommandFactory = defineCommand<PutOptions>({
  name: 'put',
  operands: '<file|-...> <s3://bucket/key>',
  description:
    'Encrypts files, or stdin (-), and uploads them. A key that ends in / takes the names of the files. A part that fails is sent again with the very same bytes; whatever ends the upload, Ctrl-C too, leaves nothing of it behind. With a journal it goes on where it stopped, when the same command is given again.',
  help: {
    Examples: [
      'sealpipe put data.parquet s3://bucket/data.parquet --kms-key-id alias/my-key',
      'sealpipe put a.csv b.csv s3://bucket/tables/ --aes-key-file key.hex',
      'pg_dump db | sealpipe put - s3://bucket/db.sql --rsa-public-key backup.pem --expect-size 52428800',
      'sealpipe put big.tar s3://bucket/big.tar --kms-key-id alias/my-key --journal big.journal',
      'sealpipe put --recursive reports s3://bucket/reports/ --kms-key-id alias/my-key --encryption-context team=sales',
    ],
  },
  least: 2,
  most: Number.POSITIVE_INFINITY,
  schema: 'put',
  addOptions: (command) => {
    addKeyOptions(command, { direction: 'encrypt' });
    addWriteFormatOptions(command);
    addUploadOptions(command);
    addServerSideOptions(command);
    addPlaceOptions(command, { kms: true });
    addProgressOption(command);
    addJsonOptions(command, 'one line for each object: bucket, key, bytes, seconds, parts, retries, kmsCalls, …');
    addVerboseOption(command);
  },
  run: async (operands, options, context) => {
    const destination = parseS3Url(operands.at(-1) ?? '');
    const files = operands.slice(0, -1);
    const remote = files.find(looksLikeS3Url);
    if (remote !== undefined) throw new UsageError(`${remote} is in S3 already: put takes files and - (stdin)`);
    checkSides(options);
    if (options.expectSize !== undefined && (files.length > 1 || options.recursive === true))
      throw new UsageError('--expect-size goes with one file or stdin');
    checkJournalOptions(files, options);
    const setting = writeSetting(options);
    const failures: SealpipeError[] = [];
    const failed = (name: string, error: SealpipeError): void => {
      context.note(`${name} was not uploaded: ${error.message}`);
      failures.push(error);
    };
    const sources = uploadSources({
      operands: files,
      destination,
      recursive: options.recursive === true,
      note: context.note,
      failed,
    });
    // The first one is found before anything is asked for: a name that is not there should not cost a request.
    let next = await sources.next();
    const session = await Session.open({ place: options, note: context.note });
    try {
      const startUpload = await openUploads(options, setting, session, context);
      await session.local?.requireBucket(session.client, destination.bucket);
      let count = 0;
      for (; next.done !== true; next = await sources.next(), count++) {
        const source = next.value;
        await uploadOne(source, { options, session, startUpload, context }).catch((error: unknown) => {
          if (!isOfItsSource(error) || (files.length === 1 && options.recursive !== true)) throw error;
          failed(source.name, error);
        });
      }
      if (count === 0 && failures.length === 0) context.note('the folder holds no files: nothing was uploaded');
    } finally {
      await session.close();
    }
    const [first] = failures;
    if (first === undefined) return;
    const what =
      failures.length === 1 ? 'one file was not uploaded' : `${failures.length} files were not uploaded, the first`;
    throw new SealpipeError('SOURCE_FAILED', `${what}: ${first.message}`, { cause: first });
  },
});

/** Whether a failure is that of one file alone: then the others go up. */
function isOfItsSource(error: unknown): error is SealpipeError {
  if (!(error instanceof SealpipeError)) return false;
  const { code, cause } = error;
  if (code === 'ERR_SEALPIPE_RESTART_REQUIRED') return isOfItsSource(cause);
  return ['ERR_SEALPIPE_SOURCE_FAILED', 'ERR_SEALPIPE_SOURCE_CHANGED', 'ERR_SEALPIPE_TOO_LARGE'].includes(code);
}

type StartUpload = (params: EncryptedUploadParams, options: UploadOptions) => EncryptedUpload;

/** @throws UsageError unless it is said who encrypts */
function checkSides(options: PutOptions): void {
  const kind = keyKind(options);
  if (options.clientSide === undefined) {
    if (kind === undefined) throw missingKey('encrypt', { local: localFolder(options) !== undefined });
    return;
  }
  if (kind !== undefined) throw new UsageError('--client-side none takes no key: leave out one of the two');
  if (options.sse === undefined)
    throw new UsageError(
      '--client-side none leaves encryption to S3: say how (--sse SSE-S3, SSE-KMS, DSSE-KMS or SSE-C)',
    );
  const { format, storage, commitmentPolicy, encryptionContext, materialsDescription, segmentIndex } = options;
  const given = { format, storage, commitmentPolicy, encryptionContext, materialsDescription, segmentIndex };
  const ours = Object.entries(given).find(([, value]) => value !== undefined);
  if (ours !== undefined)
    throw new UsageError(
      `--${ours[0].replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} is about encryption on this side, which --client-side none switches off`,
    );
}

async function openUploads(
  options: PutOptions,
  setting: ReturnType<typeof writeSetting>,
  session: Session,
  { warn }: CommandContext,
): Promise<StartUpload> {
  const { client } = session;
  const serverSide = await writeEncryption(options, { warn, confidential: session.confidential });
  if (options.clientSide === 'none')
    return (params, { segmentIndex: _, ...upload }) =>
      plaintextUpload({ client, params: { ...params, ...serverSide }, ...upload });
  const keyring = await openKeyring({ options, session, direction: 'encrypt', warn });
  const { encryptionContext, materialsDescription } = options;
  const s3 = new EncryptedS3({ client, keyring, ...setting, encryptionContext });
  return (params, upload) => s3.upload({ ...params, ...serverSide }, { ...upload, materialsDescription });
}

async function uploadOne(
  source: UploadSource,
  run: { options: PutOptions; session: Session; startUpload: StartUpload; context: CommandContext },
): Promise<void> {
  const { options, session, startUpload, context } = run;
  const { name, body, target } = source;
  const {
    partSize,
    queueSize,
    workers,
    partAttempts,
    restarts,
    expectSize,
    metadata,
    contentType,
    ifNoneMatch,
    segmentIndex,
  } = options;
  const started = performance.now();
  const kmsCalls = session.kmsCalls;
  const journal = await journalOf(source, options);
  const upload = startUpload(
    {
      Bucket: target.bucket,
      Key: target.key,
      Body: body,
      Metadata: metadata,
      ContentType: contentType,
      ContentLength: expectSize,
      IfNoneMatch: ifNoneMatch === true ? '*' : undefined,
    },
    {
      partSize,
      queueSize,
      workers,
      partAttempts,
      restarts,
      journal,
      segmentIndex,
      signal: context.signal,
    },
  );
  const progress = await startProgress(options.progress, name);
  let parts = 0;
  upload.on('httpUploadProgress', ({ loaded, total }) => {
    parts += 1;
    progress.report({ bytes: loaded, total, parts });
  });
  upload.on('partRetry', ({ part, attempt, error }) => {
    const what = part === undefined ? 'a request' : `part ${part}`;
    context.detail(
      `${what} failed at attempt ${attempt} and is sent again: ${error instanceof Error ? error.message : String(error)}`,
    );
  });
  upload.on('restart', ({ restart, error }) => {
    parts = 0;
    context.detail(`the upload starts over under a fresh data key (restart ${restart}): ${error.message}`);
  });
  let result: Awaited<ReturnType<EncryptedUpload['done']>>;
  try {
    result = await upload.done();
  } finally {
    progress.finish();
  }
  const seconds = Math.round(performance.now() - started) / 1000;
  const line: TransferDocument = {
    bucket: result.bucket,
    key: result.key,
    bytes: result.plaintextSize,
    seconds,
    parts: result.parts,
    retries: result.retries,
    restarts: result.restarts,
    kmsCalls: session.kmsCalls - kmsCalls,
    etag: result.etag,
  };
  if (options.json === true) return context.output.report(line);
  const { bytes } = line;
  const again = line.retries === 0 ? '' : `, ${counted(line.retries, 'request')} repeated`;
  const over = line.restarts === 0 ? '' : `, started over ${counted(line.restarts, 'time')}`;
  await context.output.report(
    `${formatS3Url(target)}  ${formatByteSize(bytes)} in ${counted(line.parts, 'part')}, ${seconds.toFixed(1)} s (${formatRate(bytes, seconds)})${again}${over}`,
  );
}
