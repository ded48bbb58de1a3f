/** From a freshly wrapped data key to the metadata of an object. Pure. */
import { SealpipeError } from '../errors.ts';
import {
  claimedLengthKey,
  contentKeysV3,
  type EnvelopeStorage,
  envelopeKeys,
  type WrappingAlgorithm,
  wrappingCodesV3,
} from './envelope.ts';
import { type StringMap, stringifyMap } from './string-map.ts';
import type { ContentSuite } from './suites.ts';

/** What a writer puts into an envelope. */
export interface EnvelopeFields {
  readonly suite: ContentSuite;
  readonly wrappedKey: Uint8Array;
  readonly wrappingAlgorithm: WrappingAlgorithm;
  /** V2: the content IV. V3: the message id. */
  readonly iv: Uint8Array;
  /** V3 only. */
  readonly commitment?: Uint8Array | undefined;
  /** KMS: the whole encryption context. AES, RSA: the materials description. */
  readonly description: StringMap;
  /** Plaintext bytes, where known. Written for V2 alone (DECISIONS section 4). */
  readonly length?: number | undefined;
}

/** The whole envelope as one map, wherever its parts will lie. */
export function writeEnvelope(fields: EnvelopeFields): Record<string, string> {
  const { suite, wrappedKey, wrappingAlgorithm, iv, commitment, description, length } = fields;
  if (suite.committing) {
    const code = [...wrappingCodesV3].find(([, name]) => name === wrappingAlgorithm)?.[0];
    if (code === undefined || commitment === undefined)
      throw new Error(`internal error: V3 cannot name ${wrappingAlgorithm}`);
    const field = wrappingAlgorithm === 'kms+context' ? 'x-amz-t' : 'x-amz-m';
    return {
      'x-amz-c': '115',
      'x-amz-3': base64(wrappedKey),
      'x-amz-w': code,
      'x-amz-d': base64(commitment),
      'x-amz-i': base64(iv),
      ...(Object.keys(description).length === 0 ? {} : { [field]: stringifyMap(description) }),
    };
  }
  return {
    'x-amz-key-v2': base64(wrappedKey),
    'x-amz-iv': base64(iv),
    'x-amz-cek-alg': 'AES/GCM/NoPadding',
    'x-amz-wrap-alg': wrappingAlgorithm,
    'x-amz-tag-len': '128',
    'x-amz-matdesc': stringifyMap(description),
    ...(length === undefined ? {} : { [claimedLengthKey]: String(length) }),
  };
}

/** An envelope as it is stored: what goes into the object's metadata, and what into an instruction file. */
export interface StoredEnvelope {
  readonly metadata: Record<string, string>;
  readonly instructionFile: Record<string, string> | undefined;
}

/** Divides an envelope between an object's metadata and its instruction file. */
export function divideEnvelope(envelope: Record<string, string>, storage: EnvelopeStorage): StoredEnvelope {
  if (storage === 'metadata') return { metadata: envelope, instructionFile: undefined };
  // The length claim stays with the object, as the SDK for Java v1 writes it: a HEAD then shows it without the file.
  const withObject = (name: string): boolean => contentKeysV3.includes(name) || name === claimedLengthKey;
  const entries = Object.entries(envelope);
  return {
    metadata: Object.fromEntries(entries.filter(([name]) => withObject(name))),
    instructionFile: Object.fromEntries(entries.filter(([name]) => !withObject(name))),
  };
}

/** S3's limit on user metadata: 2 KB, counted in bytes of names (without `x-amz-meta-`) and values. */
export const metadataLimit: number = 2048;

/**
 * Joins the caller's metadata with the envelope's.
 * @throws TypeError when the caller's metadata holds an envelope key
 * @throws SealpipeError ENVELOPE_TOO_LARGE when S3 would refuse the sum; nothing has been sent then
 */
export function joinMetadata(own: StringMap, envelope: StringMap): Record<string, string> {
  const reserved = Object.keys(own).find(
    (name) => envelopeKeys.includes(name.toLowerCase()) || name.toLowerCase() === claimedLengthKey,
  );
  if (reserved !== undefined)
    throw new TypeError(`metadata ${JSON.stringify(reserved)} is a name of the encryption envelope, choose another`);
  const size = (map: StringMap): number =>
    Object.entries(map).reduce((sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value), 0);
  const total = size(own) + size(envelope);
  if (total > metadataLimit) {
    throw new SealpipeError(
      'ENVELOPE_TOO_LARGE',
      `user metadata would have ${total} bytes (${size(envelope)} of them the envelope), S3 takes ${metadataLimit}: ` +
        "store the envelope in an instruction file (storage: 'instruction-file', --storage instruction-file) or shorten metadata or context",
    );
  }
  return { ...own, ...envelope };
}

function base64(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
}
