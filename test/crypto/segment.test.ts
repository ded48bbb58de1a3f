import assert from 'node:assert/strict';
import { createCipheriv, createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ContentKey } from '../../src/crypto/content-key.ts';
import { blockOf, elementOf, multiply, power } from '../../src/crypto/field.ts';
import { createCtr, MessageSecrets, SegmentHash, TagFold } from '../../src/crypto/segment.ts';
import { committingSuite, gcmSuite } from '../../src/format/suites.ts';
import { shake } from '../support/vectors.ts';

const key = shake('kat-key', 32);
const plaintext = shake('kat-plaintext', 12_388);
const suites = {
  gcm: { suite: gcmSuite, key, iv: shake('kat-iv', 12), aad: new Uint8Array(0) },
  committing: { suite: committingSuite, key, iv: new Uint8Array(12).fill(1), aad: Uint8Array.of(0, 0x73) },
} satisfies Record<string, ContentKey>;

/** What node:crypto makes of the whole message in one go. */
function reference({ key: k, iv, aad }: ContentKey, message: Uint8Array): { ciphertext: Buffer; tag: Buffer } {
  const cipher = createCipheriv('aes-256-gcm', k, iv, { authTagLength: 16 });
  cipher.setAAD(aad);
  return { ciphertext: Buffer.concat([cipher.update(message), cipher.final()]), tag: cipher.getAuthTag() };
}

function encryptSegment(
  contentKey: ContentKey,
  secrets: MessageSecrets,
  message: Uint8Array,
  start: number,
  end: number,
): { ciphertext: Buffer; z: Int32Array } {
  const ctr = createCtr(contentKey, start / 16);
  const hash = new SegmentHash(contentKey, secrets);
  const ciphertext = ctr.update(message.subarray(start, end));
  const cut = Math.floor(ciphertext.length / 3);
  hash.update(ciphertext.subarray(0, cut));
  hash.update(ciphertext.subarray(cut));
  return { ciphertext, z: hash.final() };
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

for (const [name, contentKey, zs, digest, tag] of [
  [
    'plain GCM',
    suites.gcm,
    [
      '7eb223ffb302d74d16c66f33923d2883',
      'f5ea03cd4c4555d38288db2ea3f28ab9',
      'f1a50bab4883aa82646c6a5b0eae323a',
      'fa946dd74e48e1d6632fa5141a541dd8',
    ],
    'e73a636c4aa47724823dafd8b6cec2219ba1602cb5dec172b74a8d359e44007b',
    '17763a2380de2af661e4c5e8a62dbfc1',
  ],
  [
    'the committing suite',
    suites.committing,
    [
      'fa3d12b22ac72671255381d96a955f2b',
      'e0610378217ca10f2a55113afe8973d1',
      '889a2c9dcfd8f2a47b9826df72f52180',
      '85b35afbeb0bcfdf84ffed55e5b2c685',
    ],
    'a717316664fee7f3327c12b9388570d89453cf8c65961aafb4184374a419a084',
    '69cb923fed72c8377b1187417beac717',
  ],
] as const) {
  test(`the known answers of ${name} come out: H, Z of four segments, ciphertext and tag`, () => {
    const secrets = new MessageSecrets(contentKey);
    assert.equal(hex(blockOf(secrets.h)), '1f8e79b4df1012a352fe4acec5194b9b');
    const segments = [0, 4096, 8192, 12_288].map((start) =>
      encryptSegment(contentKey, secrets, plaintext, start, Math.min(start + 4096, plaintext.length)),
    );
    assert.deepEqual(
      segments.map(({ z }) => hex(blockOf(z))),
      zs,
    );
    assert.equal(
      createHash('sha256')
        .update(Buffer.concat(segments.map(({ ciphertext }) => ciphertext)))
        .digest('hex'),
      digest,
    );
    const fold = new TagFold(contentKey, secrets);
    for (const { z, ciphertext } of segments) fold.append(z, ciphertext.length);
    assert.equal(hex(fold.tag()), tag);
  });
}

test('every cut of a message into segments, made in any order, gives the ciphertext and tag of plain GCM', () => {
  const cuts = fc.record({
    contentKey: fc.constantFrom(suites.gcm, suites.committing),
    length: fc.oneof(
      fc.constantFrom(0, 1, 15, 16, 17, 31, 32, 33, 4095, 4096, 4097),
      fc.integer({ min: 0, max: plaintext.length }),
    ),
    at: fc.uniqueArray(fc.integer({ min: 1, max: Math.floor(plaintext.length / 16) }), { maxLength: 8 }),
    seed: fc.integer(),
  });
  fc.assert(
    fc.property(cuts, ({ contentKey, length, at, seed }) => {
      const message = plaintext.subarray(0, length);
      const bounds = [
        0,
        ...at
          .map((block) => block * 16)
          .filter((offset) => offset < length)
          .sort((a, b) => a - b),
        length,
      ];
      const pieces = bounds.slice(1).map((end, i) => ({ start: bounds[i] as number, end, index: i }));
      const secrets = new MessageSecrets(contentKey);
      const shuffled = [...pieces].sort((a, b) => ((a.index * 7919 + seed) % 101) - ((b.index * 7919 + seed) % 101));
      const made = new Map(
        shuffled.map(({ start, end, index }) => [index, encryptSegment(contentKey, secrets, message, start, end)]),
      );
      const fold = new TagFold(contentKey, secrets);
      const inOrder = pieces.map(({ index }) => made.get(index) as { ciphertext: Buffer; z: Int32Array });
      for (const { z, ciphertext } of inOrder) fold.append(z, ciphertext.length);
      const expected = reference(contentKey, message);
      assert.deepEqual(Buffer.concat(inOrder.map(({ ciphertext }) => ciphertext)), expected.ciphertext);
      assert.equal(hex(fold.tag()), hex(expected.tag));
    }),
    { numRuns: process.env.SLOW === undefined ? 200 : 5000 },
  );
});

test('a segment that does not start on a block is refused when folding', () => {
  const secrets = new MessageSecrets(suites.gcm);
  const fold = new TagFold(suites.gcm, secrets);
  fold.append(new Int32Array(4), 17);
  assert.throws(() => fold.append(new Int32Array(4), 16), /internal error/);
});

/** Multiplication by the definition, bit by bit on BigInt. */
function slowMultiply(a: bigint, b: bigint): bigint {
  let product = 0n;
  let shifted = b;
  for (let bit = 127n; bit >= 0n; bit--) {
    if (((a >> bit) & 1n) === 1n) product ^= shifted;
    shifted = (shifted & 1n) === 1n ? (shifted >> 1n) ^ (0xe1n << 120n) : shifted >> 1n;
  }
  return product;
}

const element = fc.uint8Array({ minLength: 16, maxLength: 16 });
const big = (bytes: Uint8Array): bigint => BigInt(`0x${hex(bytes)}`);

test('multiplication is that of the definition, and powers are repeated multiplication', () => {
  fc.assert(
    fc.property(element, element, (a, b) => {
      assert.equal(big(blockOf(multiply(elementOf(a), elementOf(b)))), slowMultiply(big(a), big(b)));
    }),
  );
  fc.assert(
    fc.property(element, fc.integer({ min: 0, max: 40 }), (a, n) => {
      let expected = elementOf(Uint8Array.of(0x80));
      for (let i = 0; i < n; i++) expected = multiply(expected, elementOf(a));
      assert.deepEqual(power(elementOf(a), n), expected);
    }),
  );
});

test('powers of numbers of blocks beyond 2^31 are right: H^(a + b) = H^a · H^b', () => {
  const h = elementOf(shake('h', 16));
  const [a, b] = [2 ** 31 + 12_345, 2 ** 31 - 12_347];
  assert.deepEqual(power(h, a + b), multiply(power(h, a), power(h, b)));
});
