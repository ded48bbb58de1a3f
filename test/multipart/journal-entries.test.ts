import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeEntries, encodeEntries, PartEntries } from '../../src/multipart/journal/journal-entries.ts';
import { maxPayloadLength } from '../../src/multipart/journal/journal-record.ts';
import { runs } from '../support/properties.ts';

function taken(...payloads: Uint8Array[]): PartEntries {
  const entries = new PartEntries();
  for (const payload of payloads) entries.take(decodeEntries(payload));
  return entries;
}

test('the entries of a part come back from records that each fit, in whatever order', () => {
  const count = fc.oneof(fc.nat(20), fc.integer({ min: 4000, max: 4200 }), fc.integer({ min: 8100, max: 8300 }));
  fc.assert(
    fc.property(count, fc.nat(9999), fc.boolean(), (length, part, turned) => {
      const entries = randomBytes(16 * length);
      const payloads = encodeEntries(part, entries);
      assert.ok(payloads.every((payload) => payload.length <= maxPayloadLength));
      const read = taken(...(turned ? payloads.reverse() : payloads));
      assert.deepEqual(Buffer.from(read.of(part, length) ?? []), entries);
    }),
    runs(50),
  );
});

test('what is kept is a copy: the record can be overwritten', () => {
  const entries = randomBytes(32);
  const [payload = Buffer.alloc(0)] = encodeEntries(1, entries);
  const read = taken(payload);
  payload.fill(0);
  assert.deepEqual(Buffer.from(read.of(1, 2) ?? []), entries);
});

test('a part that lacks one, or has one too many, has none', () => {
  const payloads = encodeEntries(3, randomBytes(16 * 9000));
  assert.equal(payloads.length, 3);
  const [first, second, third] = payloads as [Uint8Array, Uint8Array, Uint8Array];
  for (const some of [[], [first], [first, second], [first, third], [second, third]])
    assert.equal(taken(...some).of(3, 9000), undefined);
  assert.equal(taken(first, second, third).of(3, 8999), undefined);
  assert.equal(taken(first, second, third).of(3, 9001), undefined);
  assert.equal(taken(first, second, third).of(4, 9000), undefined);
  assert.ok(taken(first, second, third).of(3, 9000));
});

test('a part that was made again has its entries once', () => {
  const entries = randomBytes(16 * 5000);
  const payloads = encodeEntries(2, entries);
  assert.deepEqual(Buffer.from(taken(...payloads, ...payloads).of(2, 5000) ?? []), entries);
});

test('a part of the tag alone has no entries, and lacks none', () => {
  assert.deepEqual(encodeEntries(5, new Uint8Array(0)), []);
  assert.equal(taken().of(5, 0)?.length, 0);
});
