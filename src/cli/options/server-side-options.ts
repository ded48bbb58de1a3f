/** Server-side encryption: what S3 itself does with what it is sent. */
import { createHash } from 'node:crypto';
import { type Command, Option } from 'commander';
import type { UploadParams } from '../../index.ts';
import { readAesKey, type WarnOfKeyFile } from '../key-file.ts';
import { collectPair } from '../pairs.ts';
import { UsageError } from '../usage-error.ts';

export interface CustomerKeyOptions {
  readonly sseCKeyFile?: string;
}

export interface ServerSideOptions extends CustomerKeyOptions {
  readonly sse?: 'SSE-S3' | 'SSE-KMS' | 'DSSE-KMS' | 'SSE-C';
  readonly sseKmsKeyId?: string;
  readonly sseContext?: Record<string, string>;
}

const group = 'Encryption by S3 itself, beside or (--client-side none) in the place of ours:';

/** @param heading under which help shows it; by default that of reading, where S3 can be told nothing else */
export function addCustomerKeyOption(command: Command, heading = 'Encryption by S3 itself:'): Command {
  return command.addOption(
    new Option('--sse-c-key-file <file>', 'the key of SSE-C objects: 32 bytes raw, in hex or in base64').helpGroup(
      heading,
    ),
  );
}

export function addServerSideOptions(command: Command): Command {
  command
    .addOption(
      new Option('--sse <mode>', 'SSE-S3, SSE-KMS, DSSE-KMS or SSE-C')
        .choices(['SSE-S3', 'SSE-KMS', 'DSSE-KMS', 'SSE-C'])
        .helpGroup(group),
    )
    .addOption(new Option('--sse-kms-key-id <id>', "S3's KMS key, for SSE-KMS and DSSE-KMS").helpGroup(group))
    .addOption(
      new Option('--sse-context <name=value>', "S3's own encryption context, for SSE-KMS and DSSE-KMS (repeatable)")
        .argParser(collectPair('--sse-context'))
        .helpGroup(group),
    );
  addCustomerKeyOption(command, group);
  return command.addOption(
    new Option('--client-side <none>', 'none: do not encrypt here, S3 sees the plaintext; needs --sse')
      .choices(['none'])
      .helpGroup(group),
  );
}

/** The parameters of a write. @throws UsageError for combinations that S3 does not have */
export async function writeEncryption(
  options: ServerSideOptions,
  request: CustomerKeyRequest,
): Promise<ServerSideParams> {
  const { sse, sseKmsKeyId, sseContext, sseCKeyFile } = options;
  const kms = sse === 'SSE-KMS' || sse === 'DSSE-KMS';
  if (!kms && sseKmsKeyId !== undefined)
    throw new UsageError('--sse-kms-key-id goes with --sse SSE-KMS or --sse DSSE-KMS');
  if (!kms && sseContext !== undefined) throw new UsageError('--sse-context goes with --sse SSE-KMS or --sse DSSE-KMS');
  if (sse === 'SSE-C' && sseCKeyFile === undefined)
    throw new UsageError('--sse SSE-C needs its key: --sse-c-key-file FILE');
  if (sse !== 'SSE-C' && sseCKeyFile !== undefined) throw new UsageError('--sse-c-key-file goes with --sse SSE-C');
  if (sse === undefined) return {};
  if (sse === 'SSE-C') return customerKey(options, request);
  if (sse === 'SSE-S3') return { ServerSideEncryption: 'AES256' };
  return {
    ServerSideEncryption: sse === 'SSE-KMS' ? 'aws:kms' : 'aws:kms:dsse',
    SSEKMSKeyId: sseKmsKeyId,
    SSEKMSEncryptionContext:
      sseContext === undefined ? undefined : Buffer.from(JSON.stringify(sseContext), 'utf8').toString('base64'),
  };
}

type ServerSideParams = Pick<
  UploadParams,
  | 'ServerSideEncryption'
  | 'SSEKMSKeyId'
  | 'SSEKMSEncryptionContext'
  | 'SSECustomerAlgorithm'
  | 'SSECustomerKey'
  | 'SSECustomerKeyMD5'
>;

interface CustomerKeyRequest {
  readonly warn: WarnOfKeyFile;
  /** Whether requests go where nobody on the way can read them: the key is in their headers. */
  readonly confidential: boolean;
}

/** The parameters that carry a customer's key, for reads and writes. */
export async function customerKey(
  { sseCKeyFile }: CustomerKeyOptions,
  { warn, confidential }: CustomerKeyRequest,
): Promise<Pick<ServerSideParams, 'SSECustomerAlgorithm' | 'SSECustomerKey' | 'SSECustomerKeyMD5'>> {
  if (sseCKeyFile === undefined) return {};
  if (!confidential)
    throw new UsageError(
      '--sse-c-key-file is refused over plain HTTP: the key is in the header of every request; use https',
    );
  const key = (await readAesKey(sseCKeyFile, warn)).export();
  try {
    if (key.length !== 32) throw new UsageError(`the key in ${sseCKeyFile} has ${key.length} bytes, SSE-C takes 32`);
    return {
      SSECustomerAlgorithm: 'AES256',
      SSECustomerKey: key.toString('base64'),
      SSECustomerKeyMD5: createHash('md5').update(key).digest('base64'),
    };
  } finally {
    key.fill(0);
  }
}
