/** Calls to KMS: one for each object, so that a small object costs as much there as in S3. */
import {
  DecryptCommand,
  type DecryptCommandInput,
  GenerateDataKeyCommand,
  type GenerateDataKeyCommandInput,
  type KMSClient,
} from '@aws-sdk/client-kms';
import type { TunableCommand } from '../s3-command.ts';
import { sendWhole } from './direct-requests.ts';
import type { HttpAnswer } from './http-exchange.ts';

/** What is read of KMS's answers. */
export interface KmsAnswer {
  /** The caller overwrites it. */
  readonly Plaintext?: Uint8Array | undefined;
  readonly CiphertextBlob?: Uint8Array | undefined;
  readonly KeyId?: string | undefined;
}

export interface KmsRequestOptions {
  readonly signal: AbortSignal;
  /** `client` for a call that has to go through the client. Default `auto`. */
  readonly transport?: 'auto' | 'client' | undefined;
}

export function sendGenerateDataKey(
  client: KMSClient,
  input: GenerateDataKeyCommandInput,
  options: KmsRequestOptions,
): Promise<KmsAnswer> {
  return send(client, {
    operation: 'GenerateDataKey',
    input,
    command: () => new GenerateDataKeyCommand(input),
    ...options,
  });
}

export function sendDecrypt(
  client: KMSClient,
  { CiphertextBlob, ...input }: DecryptCommandInput & { readonly CiphertextBlob: Uint8Array },
  options: KmsRequestOptions,
): Promise<KmsAnswer> {
  return send(client, {
    operation: 'Decrypt',
    input: { ...input, CiphertextBlob: Buffer.from(CiphertextBlob).toString('base64') },
    command: () => new DecryptCommand({ ...input, CiphertextBlob }),
    ...options,
  });
}

interface KmsCall extends KmsRequestOptions {
  readonly operation: string;
  /** As JSON has it. */
  readonly input: object;
  readonly command: () => TunableCommand;
}

function send(client: KMSClient, { operation, input, command, signal, transport }: KmsCall): Promise<KmsAnswer> {
  if (transport === 'client') return client.send(command() as GenerateDataKeyCommand, { abortSignal: signal });
  return sendWhole(client, {
    kind: operation,
    parts: {
      // Were the SDK to speak another protocol than JSON some day, these would not be found, and nothing would be learned.
      headers: [
        ['content-type', 'application/x-amz-json-1.1'],
        ['x-amz-target', `TrentService.${operation}`],
      ],
      body: JSON.stringify(input),
    },
    command,
    read: answerOf,
    signal,
  });
}

function answerOf({ body }: HttpAnswer<Buffer>): KmsAnswer | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const { Plaintext, CiphertextBlob, KeyId } = parsed as Record<string, unknown>;
  // The key is in it.
  body.fill(0);
  return { Plaintext: bytesOf(Plaintext), CiphertextBlob: bytesOf(CiphertextBlob), KeyId: KeyId as string | undefined };
}

function bytesOf(base64: unknown): Uint8Array | undefined {
  return typeof base64 === 'string' ? Buffer.from(base64, 'base64') : undefined;
}
