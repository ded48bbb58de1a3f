import { Readable } from 'node:stream';
import { type S3Client, UploadPartCommand } from '@aws-sdk/client-s3';
import { assertSegmentSize } from '../../crypto/segment-index.ts';
import { SealpipeError } from '../../errors.ts';
import type { EnvelopeStorage } from '../../format/envelope.ts';
import type { ReadPolicy } from '../../format/read-policy.ts';
import type { StringMap } from '../../format/string-map.ts';
import type { WritableSuiteName } from '../../format/suites.ts';
import type { Keyring } from '../../keyrings/keyring.ts';
import { type SegmentIndexOptions, wantedSegmentSize } from '../../multipart/encrypted-upload.ts';
import { maxPartSize } from '../../multipart/part-sizes.ts';
import { leanRequest } from '../../s3-command.ts';
import { assertReleaseOptions, type ReleaseRule } from '../../streams/plaintext-release.ts';
import { objectSetting } from '../object-setting.ts';
import { asAbort } from './aborts.ts';
import type { CommandCall, EncryptingClient } from './command-call.ts';
import { type HandledCommand, isHandled, refusal } from './command-rules.ts';
import { completeMultipartUpload, createMultipartUpload, uploadPart } from './multipart-commands.ts';
import { failWithSource } from './outgoing-stream.ts';
import { putObject } from './put-object.ts';
import { getObject, headObject, listObjects } from './read-commands.ts';
import { signalOfSend, twinOf } from './twin-client.ts';
import { UploadRegistry } from './upload-registry.ts';
import { copyObject, deleteObject, deleteObjects } from './write-commands.ts';

/** How the client's objects are encrypted, and what it accepts on reading. */
export interface WithEncryptionOptions extends ReadPolicy {
  /** Wraps and unwraps the data keys. */
  readonly keyring: Keyring;
  /** `gcm-commit` writes format V3, `gcm` V2. Default: what the commitment policy asks for, V3. */
  readonly suite?: WritableSuiteName | undefined;
  /** Where the envelope of a written object goes. Default: the object's metadata. */
  readonly storage?: EnvelopeStorage | undefined;
  /** The encryption context of all objects. */
  readonly encryptionContext?: StringMap | undefined;
  /** The promise that all content in listings is GCM; without it ListObjects and ListObjectsV2 are refused. */
  readonly contents?: 'gcm' | undefined;
  /** Size of all parts but the last of multipart uploads. With it parts can be begun in any order; default: in order of their numbers. */
  readonly partSize?: number | undefined;
  /**
   * Writes a segment index beside each object, which makes ranges of it authentic (docs/segment-index.md). Parts of multipart uploads then
   * have to begin with a segment. Default: none.
   */
  readonly segmentIndex?: boolean | SegmentIndexOptions | undefined;
  /** As in `EncryptedS3.get`. Default `authenticated`. */
  readonly release?: ReleaseRule | undefined;
  /** Bytes of plaintext that `authenticated` holds in memory. Default 64 MiB. */
  readonly maxBuffered?: number | undefined;
  /** Milliseconds without an answer or a byte until a connection counts as broken. Default 60 000. */
  readonly idleTimeout?: number | undefined;
  /** Multipart uploads that may be in progress at the same time; completed ones are forgotten first, then the oldest. Default 1 000. */
  readonly maxUploads?: number | undefined;
  /** Milliseconds after which a multipart upload in progress is forgotten. Default one day. */
  readonly uploadMaxAgeMs?: number | undefined;
}

const name = 'sealpipeEncryption';

type Handler = (client: EncryptingClient, call: CommandCall<object, object>) => Promise<object>;

/** A command's handler among others. That it gets the input of its own command is what its name in the table says. */
function handler<Input, Output extends object>(
  run: (client: EncryptingClient, call: CommandCall<Input, Output>) => Promise<Output>,
): Handler {
  return run as unknown as Handler;
}

const handlers: Readonly<Record<HandledCommand, Handler>> = {
  PutObject: handler(putObject),
  GetObject: handler(getObject),
  HeadObject: handler(headObject),
  ListObjects: handler(listObjects),
  ListObjectsV2: handler(listObjects),
  DeleteObject: handler(deleteObject),
  DeleteObjects: handler(deleteObjects),
  CopyObject: handler(copyObject),
  CreateMultipartUpload: handler(createMultipartUpload),
  UploadPart: handler(uploadPart),
  CompleteMultipartUpload: handler(completeMultipartUpload),
  AbortMultipartUpload: handler(async (client, { input, forward }: CommandCall<object, object>) => {
    try {
      return await forward(input);
    } finally {
      // Whatever S3 says: who aborts does not go on, and the key is not needed any more.
      client.uploads.remove(input);
    }
  }),
};

interface Context {
  readonly commandName?: string;
  readonly __smithy_context?: { readonly abortSignal?: AbortSignal };
}

interface Mark {
  readonly streamed: Readable | undefined;
}

/** On the input of a request of ours. A context is shared by all calls of a client with `cacheMiddleware`; middleware that copies an input copies this, too. */
const ours = Symbol('sealpipe request');

/** Of inputs that are let pass as they are, each once: whoever copies one finds it refused. */
const encrypted = new WeakSet<Mark>();

interface Arguments {
  readonly input: { readonly [ours]?: Mark };
  readonly request?: { protocol?: string; hostname?: string; headers: Record<string, string>; body?: unknown };
}
type Next = (args: Arguments) => Promise<{ output: object }>;

/**
 * An S3Client whose objects are encrypted: PutObject, GetObject, HeadObject, the multipart commands, copies, deletions and (under
 * `contents`) listings, with plaintext lengths in their answers. It is what `Upload` of @aws-sdk/lib-storage can be given, unmodified.
 * A command that cannot be kept encrypted is refused, never passed through in the clear.
 *
 * The client that is passed in is not changed, and the other is of its class; the two share its connections, credentials and settings.
 *
 * @throws TypeError when client or keyring is missing, the client encrypts already, or has a `send` that would lead past the encryption;
 *   TypeError or RangeError for a wrong option
 */
export function withEncryption<Client extends S3Client>(client: Client, options: WithEncryptionOptions): Client {
  const {
    contents,
    partSize,
    release,
    maxBuffered,
    idleTimeout,
    maxUploads = 1000,
    uploadMaxAgeMs = 86_400_000,
    segmentIndex,
    ...setting
  } = options ?? {};
  if (partSize !== undefined && (!Number.isSafeInteger(partSize) || partSize < 1 || partSize > maxPartSize)) {
    throw new RangeError(`partSize is ${partSize}, expected the bytes of all parts but the last`);
  }
  if ((contents as string | undefined) !== undefined && contents !== 'gcm')
    throw new TypeError(`contents is ${JSON.stringify(contents)}, expected 'gcm' or nothing`);
  assertReleaseOptions({ release, maxBuffered });
  assertPositive('maxUploads', maxUploads);
  assertPositive('uploadMaxAgeMs', uploadMaxAgeMs);
  const segmentSize = wantedSegmentSize(segmentIndex);
  if (segmentSize !== undefined) assertSegmentSize(segmentSize);
  const encrypting: EncryptingClient = {
    setting: objectSetting({ ...setting, client }),
    plain: client,
    sendPart: (input, signal) => {
      const mark: Mark = { streamed: undefined };
      encrypted.add(mark);
      const command = new UploadPartCommand({ ...input, [ours]: mark } as typeof input);
      return wrapped.send(command, { ...(signal && { abortSignal: signal }) });
    },
    uploads: new UploadRegistry({ maxUploads, maxAgeMs: uploadMaxAgeMs }),
    partSize,
    segmentSize,
    contents,
    reading: { release, maxBuffered, idleTimeout },
  };
  const encrypt = (next: Next, context: Context) => (args: Arguments) => handle(encrypting, { next, context, args });
  // First of all: parts have to be claimed in the order of the calls, before anything is awaited.
  const wrapped = twinOf(client, { name, middleware: encrypt });
  const stack = wrapped.middlewareStack as unknown as {
    add: (middleware: unknown, options: object) => void;
    clone: () => typeof stack;
  };
  const trim = (next: Next) => (args: Arguments) => {
    if (args.input[ours] !== undefined && args.request !== undefined) leanRequest(args.request);
    return next(args);
  };
  stack.add(trim, { name: `${name}LeanBody`, step: 'build', priority: 'low' });
  const watch = (next: Next) => (args: Arguments) => {
    const streamed = args.input[ours]?.streamed;
    if (streamed !== undefined) failWithSource(args.request?.body, streamed);
    return next(args);
  };
  // The last step: the body is what the SDK has made of it.
  stack.add(watch, { name: `${name}StreamedBody`, step: 'deserialize', priority: 'low' });
  // getSignedUrl takes a clone of the stack: a URL signed with it would let plaintext past this client.
  const clone = stack.clone.bind(stack);
  stack.clone = () => {
    const copy = clone();
    copy.add(refusePresigning, { name: `${name}Presigning`, step: 'initialize', priority: 'high', override: true });
    return copy;
  };
  return wrapped;
}

function assertPositive(option: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1)
    throw new RangeError(`${option} is ${String(value)}, expected a whole number from 1`);
}

/** Synchronous up to the command's handler. */
function handle(
  client: EncryptingClient,
  { next, context, args }: { next: Next; context: Context; args: Arguments },
): Promise<{ output: object }> {
  if (args.input[ours] !== undefined && encrypted.delete(args.input[ours])) return next(args);
  const command = (context.commandName ?? '').replace(/Command$/, '');
  const why = refusal(command, args.input);
  if (why !== undefined)
    return Promise.reject(
      new SealpipeError('COMMAND_REFUSED', `${command} was refused by a client that encrypts: ${why}`),
    );
  if (!isHandled(command)) return next(args);
  let passed: { output: object } | undefined;
  const call: CommandCall<object, object> = {
    input: args.input,
    signal: context.__smithy_context?.abortSignal ?? signalOfSend(),
    forward: async (input) => {
      const { Body } = input as { Body?: unknown };
      const streamed = Body instanceof Readable ? Body : undefined;
      passed = await next({ ...args, input: { ...input, [ours]: { streamed } } });
      return passed.output;
    },
  };
  try {
    return handlers[command](client, call).then(
      (output) => ({ response: {}, ...passed, output }),
      (error: unknown) => {
        throw asAbort(error);
      },
    );
  } catch (error) {
    return Promise.reject(error instanceof Error ? error : new Error(String(error)));
  }
}

const refusePresigning = () => (): Promise<never> =>
  Promise.reject(
    new SealpipeError(
      'COMMAND_REFUSED',
      'a URL was to be signed by a client that encrypts: whoever uses it would send and get bytes past the encryption. Sign with another client, for ciphertext alone',
    ),
  );
