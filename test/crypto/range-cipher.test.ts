import assert from 'node:assert/strict';
import { createCipheriv, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { ContentEncryptor } from '../../src/crypto/content-cipher.ts';
import type { ContentKey } from '../../src/crypto/content-key.ts';
import { cbcPaddingLength, decryptCbcBlocks, decryptGcmRange } from '../../src/crypto/range-cipher.ts';
import { cbcSuite, gcmSuite } from '../../src/format/suites.ts';
import { failure } from '../support/failure.ts';
import { runs } from '../support/properties.ts';

const gcm: ContentKey = { suite: gcmSuite, key: randomBytes(32), iv: randomBytes(12), aad: new Uint8Array(0) };
const cbc: ContentKey = { suite: cbcSuite, key: randomBytes(32), iv: randomBytes(16), aad: new Uint8Array(0) };
const content = randomBytes(600_000);

test('any part of GCM content decrypts by itself, at whatever offset it begins', () => {
  const ciphertext = new ContentEncryptor(gcm).update(content);
  const bound = fc.nat(content.length);
  fc.assert(
    fc.property(bound, bound, (a, b) => {
      const [start, end] = [Math.min(a, b), Math.max(a, b)];
      const plaintext = decryptGcmRange(gcm, ciphertext.subarray(start, end), start);
      assert.ok(content.subarray(start, end).equals(plaintext));
    }),
    runs(60),
  );
});

test('the counter is right at the far end of the longest message', () => {
  // Block n of GCM is the block cipher of IV and n + 2: ECB tells it without a counter.
  const block = 2 ** 32 - 3;
  const counter = Buffer.concat([gcm.iv, Buffer.alloc(4)]);
  counter.writeUInt32BE(block + 2, 12);
  const ecb = createCipheriv('aes-256-ecb', gcm.key, null).setAutoPadding(false);
  const keystream = ecb.update(counter);
  assert.deepEqual(Buffer.from(decryptGcmRange(gcm, Buffer.alloc(16), block * 16)), keystream);
  assert.deepEqual(Buffer.from(decryptGcmRange(gcm, Buffer.alloc(5), block * 16 + 11)), keystream.subarray(11));
});

test('CBC blocks decrypt with the block before them', () => {
  const cipher = createCipheriv('aes-256-cbc', cbc.key, cbc.iv);
  const stored = Buffer.concat([cipher.update(content), cipher.final()]);
  const plain = decryptCbcBlocks(cbc, stored.subarray(160, 176), stored.subarray(176, 400_000));
  assert.ok(content.subarray(176, 400_000).equals(plain));
  assert.ok(content.subarray(0, 64).equals(decryptCbcBlocks(cbc, cbc.iv, stored.subarray(0, 64))));
});

test('the padding tells how much of the last block is content, and what is none is refused', () => {
  const last = (block: Buffer): Buffer => {
    const cipher = createCipheriv('aes-256-cbc', cbc.key, cbc.iv).setAutoPadding(false);
    return cipher.update(block);
  };
  for (let length = 1; length <= 16; length++)
    assert.equal(
      cbcPaddingLength(
        cbc,
        cbc.iv,
        last(Buffer.concat([Buffer.alloc(16 - length, 0xee), Buffer.alloc(length, length)])),
      ),
      length,
    );
  const wrong = [Buffer.alloc(16, 0), Buffer.alloc(16, 17), Buffer.from('00000000000000000000000000000302', 'hex')];
  for (const block of wrong)
    assert.throws(() => cbcPaddingLength(cbc, cbc.iv, last(block)), failure('AUTHENTICATION_FAILED'));
});
