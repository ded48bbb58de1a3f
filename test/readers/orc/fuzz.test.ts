import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SealpipeError } from '../../../src/errors.ts';
import { openOrc, readOrcRows } from '../../../src/readers/orc/index.ts';
import { CountingSource, ownFile } from './columnar-files.ts';

/** Small files of all compressions and kinds that the fixtures have: each mutation is read as a whole. */
const files = [
  'java-1row-snappy',
  'java-attributes-zlib',
  'java-usermeta-none',
  'cpp-nested-snappy',
  'pyorc-tz-Europe_Helsinki',
  'cpp-0rows-zlib',
].map((name) => ownFile(`${name}.orc`));
const runs = process.env['SLOW'] === undefined ? 400 : 20_000;

/** The most rows that are read of a mutated file: a footer may claim any number of rows of a struct without fields. */
const mostRows = 20_000;

/** Reads a file to its end, and gives the code it is refused with; anything but a coded error fails the test. */
async function readAll(bytes: Uint8Array): Promise<string> {
  try {
    const file = await openOrc(new CountingSource(bytes), { tailBytes: 400 });
    await file.stripeStatistics();
    for (const options of [{}, { rowStart: 1, rowEnd: 700, batchSize: 100 }]) {
      let count = 0;
      for await (const rows of readOrcRows(file, options)) {
        count += rows.length;
        if (count > mostRows) break;
      }
    }
    return 'ok';
  } catch (error) {
    assert.ok(error instanceof SealpipeError, error instanceof Error ? error.stack : String(error));
    return error.code;
  }
}

async function bounded(bytes: Uint8Array): Promise<void> {
  const before = process.memoryUsage();
  const started = performance.now();
  const code = await readAll(bytes);
  assert.match(code, /^(ok|ERR_SEALPIPE_FORMAT_(INVALID|UNSUPPORTED))$/);
  assert.ok(performance.now() - started < 5000, 'it took five seconds');
  const after = process.memoryUsage();
  assert.ok(after.arrayBuffers - before.arrayBuffers < 600 * 1024 * 1024, 'it took 600 MiB');
}

const file = fc.constantFrom(...files);

/** Places are counted from the end: that is where a footer's lies do the most. */
const place = fc.oneof(fc.nat(1200), fc.nat(20_000));

test('files with flipped bits give rows or a coded error, in bounded time and memory', async () => {
  await fc.assert(
    fc.asyncProperty(
      file,
      fc.array(fc.tuple(place, fc.integer({ min: 0, max: 7 })), { minLength: 1, maxLength: 4 }),
      async (original, flips) => {
        const bytes = original.slice();
        for (const [at, bit] of flips) bytes[bytes.length - 1 - (at % bytes.length)]! ^= 1 << bit;
        await bounded(bytes);
      },
    ),
    { numRuns: runs },
  );
});

test('files with bytes replaced, left out and put in give rows or a coded error', async () => {
  await fc.assert(
    fc.asyncProperty(file, place, fc.nat(8), fc.uint8Array({ maxLength: 12 }), async (original, at, dropped, added) => {
      const from = original.length - 1 - (at % original.length);
      await bounded(Buffer.concat([original.subarray(0, from), added, original.subarray(from + dropped)]));
    }),
    { numRuns: runs },
  );
});

test('files cut at both ends give rows or a coded error', async () => {
  await fc.assert(
    fc.asyncProperty(file, place, place, async (original, head, tail) => {
      await bounded(original.subarray(head % original.length, original.length - (tail % 50)));
    }),
    { numRuns: runs / 4 },
  );
});

test('numbers of the tail that lie give rows or a coded error', async () => {
  const varints = [
    [0xff, 0xff, 0xff, 0xff, 0x0f],
    [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    [0x00],
    [0x80, 0x80, 0x80, 0x01],
    [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  ];
  await fc.assert(
    fc.asyncProperty(file, fc.nat(900), fc.constantFrom(...varints), async (original, at, lie) => {
      const from = Math.max(0, original.length - 1 - at);
      // In place, so that everything before and after still lies where it is looked for.
      const bytes = original.slice();
      bytes.set(lie.slice(0, bytes.length - from), from);
      await bounded(bytes);
    }),
    { numRuns: runs },
  );
});

test('random bytes are refused with a code', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      await bounded(bytes);
      await bounded(
        Buffer.concat([
          bytes,
          Buffer.from([0x08, 0x10, 0x10, 0x00, 0x82, 0xf4, 0x03, 3]),
          Buffer.from('ORC'),
          Uint8Array.from([11]),
        ]),
      );
    }),
    { numRuns: runs },
  );
});
