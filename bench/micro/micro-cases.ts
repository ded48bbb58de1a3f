/** Single steps, too short for rounds: what a part, an object or a request costs beside its bytes. */
import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { crc32 } from 'node:zlib';
import type { ContentKey } from '../../src/crypto/content-key.ts';
import { elementOf, type FieldElement, multiply, power } from '../../src/crypto/field.ts';
import { releaseMemory } from '../../src/crypto/release-memory.ts';
import { createCtr, MessageSecrets, SegmentHash, TagFold } from '../../src/crypto/segment.ts';
import { parseEnvelope } from '../../src/format/parse-envelope.ts';
import { committingSuite } from '../../src/format/suites.ts';
import { aesKeyring, createEncryptStream } from '../../src/index.ts';
import { createContentKey } from '../../src/keyrings/open-content-key.ts';
import { combineCrc32 } from '../../src/multipart/crc32-combine.ts';
import { sourceContent } from '../repeated-content.ts';

export interface MicroCase {
  readonly name: string;
  readonly title: string;
  /** Does the step once; what it returns is for the check alone. */
  readonly run: () => unknown;
  /** Throws when the step does not do what the title says. */
  readonly check: () => unknown;
}

const MiB = 1024 * 1024;
const contentKey: ContentKey = {
  suite: committingSuite,
  key: Uint8Array.from({ length: 32 }, (_, i) => i),
  iv: new Uint8Array(12).fill(1),
  aad: Uint8Array.of(0, 0x73),
};
const secrets = new MessageSecrets(contentKey);
const keyring = aesKeyring({ key: contentKey.key });
const { envelope } = await createContentKey({ keyring, suite: committingSuite });
const slice = Buffer.from(sourceContent(64 * 1024).slice(0, 64 * 1024));
const small = slice.subarray(0, 4096);
const element = elementOf(slice.subarray(0, 16));
const fold = new TagFold(contentKey, secrets);
const half = slice.subarray(0, slice.length / 2);
const otherHalf = slice.subarray(slice.length / 2);
const halfCrcs = [crc32(half), crc32(otherHalf)] as const;

/** One slice as a segment of its own: the ciphers are set up, used and ended. */
function sealSlice(): { z: FieldElement; crc: number } {
  const ctr = createCtr(contentKey, 0);
  const hash = new SegmentHash(contentKey, secrets);
  const ciphertext = ctr.update(slice);
  hash.update(ciphertext);
  const crc = crc32(ciphertext);
  releaseMemory(ciphertext);
  ctr.final();
  return { z: hash.final(), crc };
}

async function encryptSmall(): Promise<Buffer> {
  const stream = createEncryptStream({ keyring });
  stream.end(small);
  return buffer(stream);
}

export const microCases: readonly MicroCase[] = [
  {
    name: 'micro/multiply',
    title: 'product in GF(2^128)',
    run: () => multiply(element, secrets.h),
    check: () => assert.deepEqual(multiply(element, secrets.h), multiply(secrets.h, element)),
  },
  {
    name: 'micro/power',
    title: 'H to the blocks of 16 MiB',
    run: () => power(secrets.h, MiB),
    check: () => assert.deepEqual(power(secrets.h, 3), multiply(multiply(secrets.h, secrets.h), secrets.h)),
  },
  {
    name: 'micro/fold',
    title: 'fold of one more part of 16 MiB',
    run: () => fold.append(element, 16 * MiB),
    check: () => assert.equal(fold.length % (16 * MiB), 0),
  },
  {
    name: 'micro/segment',
    title: 'segment of 64 KiB',
    run: sealSlice,
    check: () => {
      const { z } = sealSlice();
      const one = new TagFold(contentKey, secrets);
      one.append(z, slice.length);
      const ctr = createCtr(contentKey, 0);
      const two = new SegmentHash(contentKey, secrets);
      for (const byte of ctr.update(slice)) two.update(Buffer.of(byte));
      const other = new TagFold(contentKey, secrets);
      other.append(two.final(), slice.length);
      assert.deepEqual(one.tag(), other.tag());
    },
  },
  {
    name: 'micro/envelope-parse',
    title: 'envelope of format V3 parsed',
    run: () => parseEnvelope(envelope),
    check: () => assert.equal(parseEnvelope(envelope).suite, committingSuite),
  },
  {
    name: 'micro/crc32-combine',
    title: 'CRC-32 of two parts combined',
    run: () => combineCrc32(halfCrcs[0], halfCrcs[1], 16 * MiB),
    check: () => assert.equal(combineCrc32(halfCrcs[0], halfCrcs[1], otherHalf.length), crc32(slice)),
  },
  {
    name: 'micro/encrypt-stream',
    title: '4 KiB through createEncryptStream',
    run: encryptSmall,
    check: async () => assert.equal((await encryptSmall()).length, small.length + 16),
  },
];
