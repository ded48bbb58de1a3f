import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groups } from '../../bench/case-spec.ts';
import { catalogue } from '../../bench/catalogue.ts';
import { quantile } from '../../bench/measurement.ts';
import { parseOptions, UsageError } from '../../bench/options.ts';
import { figuresOf, median } from '../../bench/report/statistics.ts';
import { reportTable } from '../../bench/report/table.ts';
import { assertMoved } from '../../bench/session.ts';
import { madeUpReport, sample, sizes } from './made-up-report.ts';

test('a median is the middle, or between the two in the middle', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.ok(Number.isNaN(median([])));
  assert.equal(quantile([5, 1, 4, 2, 3], 0.5), 3);
  assert.equal(quantile([1, 2], 0.99), 2);
});

test('every case has a name of its own, a title of its own in its group, and a baseline that there is', () => {
  const specs = catalogue(sizes);
  const names = new Set(specs.map(({ name }) => name));
  assert.equal(names.size, specs.length);
  assert.equal(new Set(specs.map(({ group, title }) => `${group} ${title}`)).size, specs.length);
  for (const { name, baseline, group, warmUp, size } of specs) {
    assert.ok(name.startsWith(`${group}/`));
    assert.ok(baseline === undefined || names.has(baseline), `${name}: ${baseline}`);
    assert.ok(warmUp <= size);
  }
  assert.deepEqual(
    Object.keys(groups).filter((group) => !specs.some((spec) => spec.group === group)),
    [],
  );
});

test('ratios compare the samples of one round, so that a machine that slows down between rounds changes none', () => {
  const specs = catalogue(sizes).filter(({ group }) => group === 'upload-tls');
  const [base, ours] = specs.map(({ name }) => name) as [string, string];
  // Three times as fast in every round, while the machine becomes ten times slower.
  const samples = new Map([
    [base, [1, 2, 3].map((round) => sample(round, { seconds: 3 * 10 ** round, cpuSeconds: 4 }))],
    [ours, [1, 2, 3].map((round) => sample(round, { seconds: 10 ** round, cpuSeconds: 1 }))],
  ]);
  const [, figures] = figuresOf(specs, samples);
  const { throughput, throughputRange, cpu, baseline } = figures?.ratio ?? {};
  assert.equal(baseline, base);
  assert.ok(Math.abs((throughput ?? 0) - 3) < 1e-9);
  assert.ok(throughputRange?.every((each) => Math.abs(each - 3) < 1e-9));
  assert.equal(cpu, 0.25);
});

test('a round that one of two cases missed is compared with nothing', () => {
  const specs = catalogue(sizes).filter(({ group }) => group === 'upload-tls');
  const [base, ours] = specs.map(({ name }) => name) as [string, string];
  const samples = new Map([
    [base, [sample(1, { seconds: 8 })]],
    [ours, [sample(1, { seconds: 4 }), sample(2, { seconds: 1000 })]],
  ]);
  assert.equal(figuresOf(specs, samples)[1]?.ratio?.throughput, 2);
  assert.equal(figuresOf(specs, new Map([[ours, [sample(1, { seconds: 4 })]]]))[0]?.ratio, undefined);
});

test('medians have the units that their heads say', () => {
  const specs = catalogue(sizes).filter(({ name }) => name === 'upload-file/sealpipe' || name === 'small-put/sealpipe');
  const samples = new Map(specs.map(({ name }) => [name, [sample(1, { seconds: 2, cpuSeconds: 0.5 })]]));
  const [upload, small] = figuresOf(specs, samples);
  assert.equal(upload?.median.throughput, sizes.size / 1e6 / 2);
  assert.equal(upload.median.cpu, 0.5 / (sizes.size / 1e9));
  assert.equal(small?.median.throughput, sizes.operations / 2);
  assert.equal(small.median.cpu, 500 / sizes.operations);
});

test('the table shows figures, ratios, what is possible, and of the machine only cores and versions', () => {
  const table = reportTable(madeUpReport());
  assert.match(table, /^Uploads of a file$/m);
  assert.match(table, /^sealpipe, 8 MiB × 4 .* 2\.00 /m);
  assert.match(table, /of the possible/);
  assert.match(table, /15 \+ 1 KMS/);
  assert.equal(table.split('\n').at(-1), 'sealpipe 9.9.9, medians of 3 rounds, 2 cores, Node 20.0.0, OpenSSL 3.0.0');
  const elsewhere = reportTable({ ...madeUpReport(), against: 'endpoint' });
  assert.match(elsewhere, /OpenSSL 3\.0\.0, at an endpoint that was named$/);
});

test('a case that moved fewer bytes, or made fewer requests, than it says is found out', () => {
  const spec = (name: string) => catalogue(sizes).find((each) => each.name === name) as ReturnType<typeof catalogue>[0];
  const none = sample(1, {}).sink as NonNullable<ReturnType<typeof sample>['sink']>;
  const upload = spec('upload-file/sealpipe');
  assertMoved(upload, { ...none, requests: 3, bytesIn: upload.size });
  assert.throws(() => assertMoved(upload, { ...none, requests: 3, bytesIn: upload.size - 1 }), /does not do its work/);
  assert.throws(
    () => assertMoved(spec('download-drop/sdk'), { ...none, requests: 1, bytesOut: 0 }),
    /does not do its work/,
  );
  assert.throws(() => assertMoved(spec('small-put/sdk'), { ...none, requests: sizes.operations - 1 }), /requests for/);
});

test('sizes are read with their units, and what makes no sense is refused in a sentence', () => {
  const size = (text: string): number | undefined => parseOptions(['--size', text])?.size;
  assert.equal(size('2GiB'), 2 ** 31);
  assert.equal(size('1.5MiB'), 1.5 * 2 ** 20);
  assert.equal(size('3 GB'), 3e9);
  assert.equal(size('1048576'), 2 ** 20);
  assert.equal(parseOptions(['--help']), undefined);
  assert.equal(parseOptions(['--quick'])?.rounds, 1);
  assert.equal(parseOptions([])?.rounds, 5);
  for (const [args, message] of [
    [['--size', '1TiB'], /--size is "1TiB", expected at least 1MiB/],
    [['--size', '1000'], /at least 1MiB/],
    [['--rounds', '0'], /--rounds is "0", expected a whole number from 1 on/],
    [['--endpoint-url', 'ftp://x'], /expected an http or https URL/],
    [['--endpoint-url', 'http://x', '--sink-command', 'y'], /give one/],
    [['--endpoint-url', 'http://x', '--tls'], /https URL/],
    [['--onyl', 'x'], /Unknown option '--onyl'/],
  ] as const) {
    assert.throws(
      () => parseOptions(args),
      (error) => error instanceof UsageError && message.test(error.message),
    );
  }
});
