/** Bare cipher loops: the ceiling that everything else is measured against. */
import assert from 'node:assert/strict';
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { ContentKey } from '../../src/crypto/content-key.ts';
import { releaseMemory } from '../../src/crypto/release-memory.ts';
import { createCtr, MessageSecrets, SegmentHash, TagFold } from '../../src/crypto/segment.ts';
import { committingSuite } from '../../src/format/suites.ts';
import { authenticTag } from '../authentic-tag.ts';
import type { CaseRunner, CaseSpec, CipherWork } from '../case-spec.ts';
import { sourceContent, storedContent } from '../repeated-content.ts';
import { chunkLength } from './generated-source.ts';

const contentKey: ContentKey = {
  suite: committingSuite,
  key: Uint8Array.from({ length: 32 }, (_, i) => i),
  iv: new Uint8Array(12).fill(1),
  aad: Uint8Array.of(0, 0x73),
};
const { key, iv, aad } = contentKey;

/** What an encrypting loop ends with. */
interface Sealed {
  readonly tag: Buffer;
  readonly crc: number | undefined;
}

export function cipherLoop({ loop, size: measured, warmUp }: CaseSpec & CipherWork): CaseRunner {
  const tags = new Map(
    loop === 'gcm-decrypt'
      ? [measured, warmUp].map((size) => [size, authenticTag(contentKey, storedContent(size))])
      : [],
  );
  let last: { size: number; sealed: Sealed | undefined } | undefined;
  return {
    run: async (size) => {
      last = { size, sealed: loop === 'gcm-decrypt' ? decrypt(size, tags.get(size)) : loops[loop](size) };
    },
    check: async () => {
      assert.ok(last !== undefined);
      const { size, sealed } = last;
      if (sealed === undefined) {
        assert.throws(() => decrypt(size, Buffer.alloc(16)), /authenticate/, 'a wrong tag is taken');
        return;
      }
      // Each by the other's road.
      const expected = loop === 'segment' ? gcm(size, { withCrc: true }) : segment(size);
      assert.deepEqual(sealed.tag, expected.tag, 'the tag is not that of GCM');
      if (sealed.crc !== undefined) assert.equal(sealed.crc, expected.crc, 'the CRC-32 is not that of the ciphertext');
    },
    close: async () => undefined,
  };
}

const loops: Record<Exclude<CipherWork['loop'], 'gcm-decrypt'>, (size: number) => Sealed> = {
  gcm: (size) => gcm(size, { withCrc: false }),
  'gcm-crc': (size) => gcm(size, { withCrc: true }),
  segment,
};

function gcm(size: number, { withCrc }: { readonly withCrc: boolean }): Sealed {
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
  cipher.setAAD(aad);
  let crc = 0;
  for (const chunk of sourceContent(size).chunks(chunkLength)) {
    const ciphertext = cipher.update(chunk);
    if (withCrc) crc = crc32(ciphertext, crc);
  }
  cipher.final();
  return { tag: cipher.getAuthTag(), crc: withCrc ? crc : undefined };
}

function decrypt(size: number, tag: Buffer | undefined): undefined {
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
  decipher.setAAD(aad);
  for (const chunk of storedContent(size).chunks(chunkLength)) decipher.update(chunk);
  decipher.setAuthTag(tag as Buffer);
  decipher.final();
}

/** One segment as the workers make it: CTR, GHASH by AAD and CRC-32 in one pass. */
function segment(size: number): Sealed {
  const secrets = new MessageSecrets(contentKey);
  const ctr = createCtr(contentKey, 0);
  const hash = new SegmentHash(contentKey, secrets);
  let crc = 0;
  for (const chunk of sourceContent(size).chunks(chunkLength)) {
    const ciphertext = ctr.update(chunk);
    hash.update(ciphertext);
    crc = crc32(ciphertext, crc);
    releaseMemory(ciphertext);
  }
  ctr.final();
  const fold = new TagFold(contentKey, secrets);
  fold.append(hash.final(), size);
  return { tag: Buffer.from(fold.tag()), crc };
}
