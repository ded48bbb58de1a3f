/** The figures as a table for people. Pure. */
import { budgetTable } from './budget-table.ts';
import type { BenchReport, CaseFigures, MicroFigures } from './figures.ts';

/** A column: its head, and what a case shows in it. */
interface Column {
  readonly head: string;
  readonly text: (figures: CaseFigures) => string;
}

const none = '–';

const shared: readonly Column[] = [
  { head: 'peak MiB', text: ({ median }) => fixed(median.peakMemory / 1024 / 1024, 0) },
  { head: 'requests', text: ({ median }) => requestsOf(median) },
  { head: 'connections', text: ({ median }) => fixed(median.connections, 0) },
  {
    head: 'loop delay p50/p99/max ms',
    text: ({ median: { loopDelay } }) =>
      [loopDelay.p50, loopDelay.p99, loopDelay.max].map((each) => each.toFixed(each < 10 ? 1 : 0)).join(' / '),
  },
  { head: 'payload', text: ({ median }) => median.payload ?? none },
];

const ratios: readonly Column[] = [
  { head: '×', text: ({ ratio }) => fixed(ratio?.throughput, 2) },
  {
    head: 'lowest–highest',
    text: ({ ratio }) => (ratio === undefined ? none : ratio.throughputRange.map((each) => each.toFixed(2)).join('–')),
  },
];

const byteColumns: readonly Column[] = [
  { head: 'MB/s', text: ({ median }) => fixed(median.throughput, 0) },
  {
    head: 'of the possible',
    text: ({ ideal, median }) => (ideal === undefined ? none : `${((median.throughput / ideal) * 100).toFixed(0)} %`),
  },
  { head: '±', text: spreadOf },
  ...ratios,
  { head: 'CPU s/GB', text: ({ median }) => fixed(median.cpu, 2) },
  { head: '× CPU', text: ({ ratio }) => fixed(ratio?.cpu, 2) },
  { head: 'sink s/GB', text: ({ median }) => fixed(median.sinkCpu, 2) },
  ...shared,
];

const operationColumns: readonly Column[] = [
  { head: 'per s', text: ({ median }) => fixed(median.throughput, 0) },
  { head: '±', text: spreadOf },
  ...ratios,
  {
    head: 'latency p50/p99 ms',
    text: ({ median: { latency } }) =>
      latency === undefined ? none : `${latency.p50.toFixed(2)} / ${latency.p99.toFixed(2)}`,
  },
  { head: 'CPU ms each', text: ({ median }) => fixed(median.cpu, 3) },
  { head: '× CPU', text: ({ ratio }) => fixed(ratio?.cpu, 2) },
  { head: 'sink ms each', text: ({ median }) => fixed(median.sinkCpu, 3) },
  ...shared,
];

/** One table: a row of heads, and a row a case. */
export interface Table {
  /** The group, or `micro`. */
  readonly id: string;
  readonly title: string;
  readonly rows: readonly (readonly string[])[];
}

/** All tables of a report, in order. */
export function tablesOf({ cases, micro, budgets, countedBy }: BenchReport): Table[] {
  const groups = [...new Set(cases.map(({ group }) => group))].map((group) =>
    groupTable(cases.filter((each) => each.group === group)),
  );
  return [
    ...groups,
    ...(budgets.length === 0 ? [] : [budgetTable(budgets, countedBy)]),
    ...(micro.length === 0 ? [] : [microTable(micro)]),
  ];
}

export function reportTable(report: BenchReport): string {
  const tables = tablesOf(report).map(({ title, rows }) => `${title}\n${alignedRows(rows)}`);
  return [...tables, environmentLine(report)].join('\n\n');
}

/** Figures of somebody's S3 must not pass for those of the sink. */
const places: Record<BenchReport['against'], string> = {
  sink: '',
  command: ', at a sink that was given',
  endpoint: ', at an endpoint that was named',
};

/** What the figures depend on, and nothing else of the machine. */
export function environmentLine(report: BenchReport): string {
  const { cores, node, openssl, rounds, tls, sealpipe, cases, against } = report;
  const medians = rounds === 1 ? 'one round: no medians' : `medians of ${rounds} rounds`;
  // Budgets are counted once, and micro-benchmarks have their own rounds.
  const times = cases.length === 0 ? '' : `${medians}, `;
  return `sealpipe ${sealpipe}, ${times}${cores} cores, Node ${node}, OpenSSL ${openssl}${tls ? ', all over TLS' : ''}${places[against]}`;
}

function groupTable(cases: readonly CaseFigures[]): Table {
  const { group, unit, groupTitle } = cases[0] as CaseFigures;
  const columns = (unit === 'MB' ? byteColumns : operationColumns).filter(({ text }) =>
    cases.some((each) => text(each) !== none),
  );
  const rows = cases.map((each) => [each.title, ...columns.map(({ text }) => text(each))]);
  return { id: group, title: groupTitle, rows: [['', ...columns.map(({ head }) => head)], ...rows] };
}

function microTable(micro: readonly MicroFigures[]): Table {
  const rows = micro.map(({ title, tinybench, benchmark }) => [
    title,
    ...[tinybench, benchmark].flatMap(({ opsPerSecond, marginPercent }) => [
      fixed(opsPerSecond, 0),
      `${marginPercent.toFixed(1)} %`,
    ]),
  ]);
  const head = ['', 'tinybench', '±', 'benchmark', '±'];
  return { id: 'micro', title: 'Single steps, per second, by two libraries', rows: [head, ...rows] };
}

function requestsOf({ requests, kmsRequests = 0 }: CaseFigures['median']): string {
  if (requests === undefined) return none;
  return kmsRequests === 0 ? fixed(requests, 0) : `${fixed(requests - kmsRequests, 0)} + ${fixed(kmsRequests, 0)} KMS`;
}

function spreadOf({ median, samples }: CaseFigures): string {
  return samples.length < 2 ? none : `${(median.spread * 100).toFixed(0)} %`;
}

function fixed(value: number | undefined, digits: number): string {
  return value === undefined ? none : value.toFixed(digits);
}

/** The first column left, the others right. */
function alignedRows(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] as readonly string[]).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] as string).length)),
  );
  return rows
    .map((row) =>
      row
        .map((text, column) =>
          column === 0 ? text.padEnd(widths[column] as number) : text.padStart(widths[column] as number),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
