/**
 * Content keys: from a data key to what encrypts the bytes (design page "The object format", section 2). Pure.
 *
 *   PRK         = HKDF-Extract(SHA-512, salt = message id (28 B), data key)
 *   commitment  = HKDF-Expand(PRK, 00 73 ‖ "COMMITKEY", 28 B)
 *   content key = HKDF-Expand(PRK, 00 73 ‖ "DERIVEKEY", 32 B)
 */
import { hkdfSync, randomFillSync, timingSafeEqual } from 'node:crypto';
import { SealpipeError } from '../errors.ts';
import { type ContentSuite, commitmentLength, dataKeyLength, messageIdLength } from '../format/suites.ts';
import { secretCopy } from './secret-memory.ts';

/** What encrypts or decrypts one object's content. Zero it with {@link wipe} when the operation ends. */
export interface ContentKey {
  readonly suite: ContentSuite;
  /** 32 bytes, unpooled. */
  readonly key: Uint8Array;
  /** The cipher's IV: 12 bytes for GCM, 16 for CBC. */
  readonly iv: Uint8Array;
  /** GCM's associated data: the suite's id for the committing suite, else empty. */
  readonly aad: Uint8Array;
}

/** A content key made for writing, with the public values that go into the envelope. */
export interface NewContentKey {
  readonly contentKey: ContentKey;
  /** V2: the IV. V3: the message id. */
  readonly iv: Uint8Array;
  readonly commitment: Uint8Array | undefined;
}

const committedIv = Uint8Array.from({ length: 12 }, () => 0x01);
const committedAad = Uint8Array.of(0x00, 0x73);
const info = (label: string): Buffer => Buffer.concat([committedAad, Buffer.from(label, 'latin1')]);
const commitInfo = info('COMMITKEY');
const deriveInfo = info('DERIVEKEY');

/**
 * The content key for a new object.
 * @param dataKey 32 bytes that no other object uses; not kept
 */
export function newContentKey(suite: ContentSuite, dataKey: Uint8Array): NewContentKey {
  assertDataKey(dataKey);
  if (!suite.committing) {
    const iv = randomBytesNotZero(suite.ivLength);
    return { contentKey: { suite, key: secretCopy(dataKey), iv, aad: new Uint8Array(0) }, iv, commitment: undefined };
  }
  const messageId = randomBytesNotZero(messageIdLength);
  return {
    contentKey: {
      suite,
      key: expand(dataKey, messageId, deriveInfo, dataKeyLength),
      iv: committedIv,
      aad: committedAad,
    },
    iv: messageId,
    commitment: expand(dataKey, messageId, commitInfo, commitmentLength),
  };
}

/**
 * The content key of a stored object. For the committing suite the commitment is compared, in constant time, before the
 * content key is derived.
 * @throws SealpipeError AUTHENTICATION_FAILED when the stored commitment is not that of this data key
 */
export function storedContentKey(
  { suite, iv, commitment }: { suite: ContentSuite; iv: Uint8Array; commitment: Uint8Array | undefined },
  dataKey: Uint8Array,
): ContentKey {
  assertDataKey(dataKey);
  if (!suite.committing) return { suite, key: secretCopy(dataKey), iv, aad: new Uint8Array(0) };
  const expected = expand(dataKey, iv, commitInfo, commitmentLength);
  if (commitment?.length !== commitmentLength || !timingSafeEqual(expected, commitment)) {
    throw new SealpipeError(
      'AUTHENTICATION_FAILED',
      'the key commitment in the envelope is not that of the data key: the envelope was altered, or belongs to another object',
    );
  }
  return { suite, key: expand(dataKey, iv, deriveInfo, dataKeyLength), iv: committedIv, aad: committedAad };
}

/**
 * A key for something beside the content (the segment index, the upload journal), from the data key of the same object.
 * Salt and input key are those of the content key; format V2, which has no message id, takes the IV as the salt.
 * @param info says what the key is for: two uses never share one
 */
export function deriveKey(dataKey: Uint8Array, salt: Uint8Array, info: Uint8Array): Uint8Array {
  assertDataKey(dataKey);
  return expand(dataKey, salt, info, dataKeyLength);
}

/** Overwrites a secret. Copies within OpenSSL and V8 are out of reach (SECURITY.md). */
export function wipe(secret: Uint8Array): void {
  secret.fill(0);
}

function expand(dataKey: Uint8Array, salt: Uint8Array, label: Uint8Array, length: number): Uint8Array {
  return new Uint8Array(hkdfSync('sha512', dataKey, salt, label, length));
}

function assertDataKey(dataKey: Uint8Array): void {
  if (dataKey.length !== dataKeyLength) {
    throw new SealpipeError(
      'AUTHENTICATION_FAILED',
      `the data key has ${dataKey.length} bytes, expected ${dataKeyLength}`,
    );
  }
}

function randomBytesNotZero(length: number): Uint8Array {
  const value = randomFillSync(new Uint8Array(length));
  if (value.every((byte) => byte === 0)) throw new Error('internal error: the random generator returned zeros only');
  return value;
}
