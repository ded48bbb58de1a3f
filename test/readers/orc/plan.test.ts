import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mergeRanges, openOrc, planOrc, readRowIndex, splitRange } from '../../../src/readers/orc/index.ts';
import { CountingSource, ownFile } from './columnar-files.ts';

const range = fc.tuple(fc.nat(5000), fc.nat(300)).map(([start, length]) => ({ start, end: start + length }));

test('merged ranges cover what was asked for, in order, and nothing but gaps beside it', () => {
  fc.assert(
    fc.property(fc.array(range), fc.nat(100), (ranges, gapBytes) => {
      const merged = mergeRanges(ranges, { gapBytes });
      for (const { start, end } of ranges) {
        assert.ok(end === start || merged.some((one) => one.start <= start && end <= one.end));
      }
      for (const [index, { start, end }] of merged.entries()) {
        assert.ok(start < end);
        if (index > 0) assert.ok(start - merged[index - 1]!.end > gapBytes);
        // Every stretch of a merged range that no range covers is a gap that was allowed.
        let covered = start;
        for (const one of ranges
          .filter((other) => other.start < end && other.end > start)
          .sort((a, b) => a.start - b.start)) {
          assert.ok(one.end <= one.start || one.start - covered <= gapBytes);
          covered = Math.max(covered, one.end);
        }
        assert.equal(covered, end);
      }
    }),
  );
});

test('ranges of up to 16 MiB are one request where nothing else is said', () => {
  const MiB = 1024 * 1024;
  assert.deepEqual(splitRange({ start: 5, end: 5 + 16 * MiB }), [{ start: 5, end: 5 + 16 * MiB }]);
  assert.equal(splitRange({ start: 5, end: 6 + 16 * MiB }).length, 2);
});

test('split ranges are as few as the limit allows, of about equal length, and make the whole', () => {
  fc.assert(
    fc.property(
      range.filter(({ start, end }) => end > start),
      fc.integer({ min: 1, max: 100 }),
      (whole, requestBytes) => {
        const parts = splitRange(whole, { requestBytes });
        assert.equal(parts[0]!.start, whole.start);
        assert.equal(parts.at(-1)!.end, whole.end);
        assert.ok(parts.every(({ start, end }) => end >= start && end - start <= requestBytes));
        assert.ok(parts.slice(1).every(({ start }, index) => start === parts[index]!.end));
        assert.equal(parts.length, Math.ceil((whole.end - whole.start) / requestBytes));
      },
    ),
  );
});

test('a plan names the streams of the selected columns alone, and its requests are no longer than allowed', async () => {
  const file = await openOrc(new CountingSource(ownFile('pyorc-rowgroups-zstd.orc')));
  const footers = await file.stripeFooters();
  const plan = planOrc(file, footers, { columns: ['note', 'attr.value'], gapBytes: 0, requestBytes: 5000 });
  const columns = new Set(
    plan.stripes.flatMap(({ spans }) => spans.flatMap(({ streams }) => streams.map(({ stream }) => stream.column))),
  );
  // attr is column 15, its key 16 and its value 17: a map is not read by halves.
  assert.deepEqual(
    [...columns].sort((a, b) => a - b),
    [3, 15, 16, 17],
  );
  assert.equal(plan.wantedBytes, plan.requestedBytes);
  assert.ok(plan.requests.every(({ start, end }) => end - start <= 5000));
  const all = planOrc(file, footers, { gapBytes: 1 << 20 });
  assert.equal(all.requests.length, 1);
  assert.ok(all.wantedBytes <= all.requestedBytes);
});

test('row groups are planned by the row index: their parts of the streams, and dictionaries whole', async () => {
  const file = await openOrc(new CountingSource(ownFile('java-rowgroups-1kib.orc')));
  const footers = await file.stripeFooters([0]);
  const index = await readRowIndex(file, 0);
  const groups = index.get(0)!.length;
  assert.equal(groups, Math.ceil(file.footer.stripes[0]!.rowCount / file.footer.rowIndexStride));
  const whole = planOrc(file, footers, { stripes: [0] });
  for (let group = 0; group < groups; group++) {
    const spans = [{ from: group, to: group + 1 }];
    const plan = planOrc(file, footers, { stripes: [0], rowGroups: new Map([[0, { spans, index }]]) });
    // Short streams are read to their end; but none from its start on, past the first row group.
    assert.ok(group === 0 ? plan.wantedBytes <= whole.wantedBytes : plan.wantedBytes < whole.wantedBytes);
    for (const { stream, range: part } of plan.stripes[0]!.spans[0]!.streams) {
      assert.ok(part.start >= stream.offset && part.end <= stream.offset + stream.length);
      if (group === groups - 1) assert.equal(part.end, stream.offset + stream.length);
    }
  }
});

test('a row index that points outside of its stream, or has too few positions, is malformed', async () => {
  const file = await openOrc(new CountingSource(ownFile('java-rowgroups-1kib.orc')));
  const footers = await file.stripeFooters([0]);
  const index = await readRowIndex(file, 0);
  const lie = (positions: number[]): unknown => {
    const entries = index.get(1)!.map((entry) => ({ ...entry, positions }));
    const changed = new Map([...index, [1, entries] as const]);
    return planOrc(file, footers, {
      stripes: [0],
      rowGroups: new Map([[0, { spans: [{ from: 1, to: 2 }], index: changed }]]),
    });
  };
  assert.throws(() => lie([]), { code: 'ERR_SEALPIPE_FORMAT_INVALID' });
  assert.throws(() => lie(new Array<number>(12).fill(2 ** 50)), { code: 'ERR_SEALPIPE_FORMAT_INVALID' });
});
