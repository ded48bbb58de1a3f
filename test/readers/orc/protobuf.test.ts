import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SealpipeError } from '../../../src/errors.ts';
import { messageBudget, ProtobufReader } from '../../../src/readers/orc/protobuf.ts';
import { varint, zigzag } from './run-length-encoders.ts';

function reader(...bytes: number[]): ProtobufReader {
  const message = new ProtobufReader(Uint8Array.from(bytes), { what: 'a test message', offset: 1234 });
  assert.equal(message.next(), true);
  return message;
}

test('signed and unsigned 64-bit numbers are exact: numbers up to 2^53, bigints beyond', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
      const signed = reader(0x08, ...varint(zigzag(value))).sint();
      assert.equal(BigInt(signed), value);
      assert.equal(typeof signed, Number.isSafeInteger(Number(value)) ? 'number' : 'bigint');
      assert.equal(BigInt(reader(0x08, ...varint(BigInt.asUintN(64, value))).uint64()), BigInt.asUintN(64, value));
      assert.equal(BigInt(reader(0x08, ...varint(BigInt.asUintN(64, value))).int()), value);
    }),
  );
});

test('a length or count beyond 2^53 is refused, not rounded', () => {
  assert.equal(reader(0x08, ...varint(2n ** 53n - 1n)).uint(), 2 ** 53 - 1);
  assert.throws(() => reader(0x08, ...varint(2n ** 53n)).uint(), { code: 'ERR_SEALPIPE_FORMAT_INVALID', offset: 1234 });
  assert.throws(() => reader(0x08, ...varint(2n ** 63n + 5n)).uint(), { code: 'ERR_SEALPIPE_FORMAT_INVALID' });
});

test('repeated numbers are read packed and one by one', () => {
  const values: number[] = [];
  reader(0x0a, 3, 1, 0x80, 0x01).uints(values);
  reader(0x08, 7).uints(values);
  assert.deepEqual(values, [1, 128, 7]);
});

test('a field of another wire type, a length beyond the message and an endless number are malformed', () => {
  const invalid = { code: 'ERR_SEALPIPE_FORMAT_INVALID', offset: 1234 };
  assert.throws(() => reader(0x0a, 0).uint(), invalid);
  assert.throws(() => reader(0x0a, 200, 1, 1).bytes(), invalid);
  assert.throws(() => reader(0x08, ...new Array<number>(10).fill(0xff), 1).uint64(), invalid);
  assert.throws(() => reader(0x08, 0x80).uint(), invalid);
  assert.throws(() => reader(0x0b).skip(), invalid);
  assert.throws(() => reader(0x09, 1, 2).double(), invalid);
  assert.throws(() => reader(0x02, 1).uint(), invalid); // field 0
});

test('whatever the bytes, a message can be skipped through or is refused with a code', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      try {
        const message = new ProtobufReader(bytes, { what: 'garbage', offset: 0 });
        for (let fields = 0; message.next(); fields++) {
          assert.ok(fields < 100);
          message.skip();
        }
      } catch (error) {
        assert.ok(error instanceof SealpipeError);
      }
    }),
    { numRuns: 2000 },
  );
});

test('a section that expands to more messages than it can honestly hold is refused before they fill the memory', () => {
  const bytes = new Uint8Array(4_000_000);
  for (let at = 0; at < bytes.length; at += 2) bytes[at] = 0x3a; // field 7, empty
  const message = new ProtobufReader(bytes, { what: 'a bomb', offset: 9, budget: messageBudget(4000) });
  assert.throws(
    () => {
      while (message.next()) message.message('an empty message');
    },
    { code: 'ERR_SEALPIPE_FORMAT_INVALID', offset: 9 },
  );
});
