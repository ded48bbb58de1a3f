/** The request budgets as a table for people. Pure. */
import type { RequestBudget, RequestCounts } from '../budgets/budget-spec.ts';
import type { BenchReport, BudgetFigures } from './figures.ts';
import type { Table } from './table.ts';

const none = '–';

const heads = [
  '',
  'GET',
  'HEAD',
  'LIST',
  'KMS',
  'bytes',
  'budget',
  'best other, plaintext',
  'its HEAD + GET',
  'its bytes',
];

/** A row a scenario, and the sums of those that another reader was measured in. */
export function budgetTable(budgets: readonly BudgetFigures[], countedBy: BenchReport['countedBy']): Table {
  const rows = budgets.map(({ title, requests, budget, other }) => [
    title,
    ...countsOf(requests),
    budgetText(budget),
    other?.name ?? none,
    other === undefined ? none : String(other.requests),
    other === undefined ? none : grouped(other.bytes),
  ]);
  const compared = budgets.filter(({ other }) => other !== undefined);
  if (compared.length > 1) {
    const sum = (value: (figures: BudgetFigures) => number): number =>
      compared.reduce((total, figures) => total + value(figures), 0);
    const total: RequestCounts = {
      get: sum(({ requests }) => requests.get),
      head: sum(({ requests }) => requests.head),
      list: sum(({ requests }) => requests.list),
      kms: sum(({ requests }) => requests.kms),
      other: 0,
      bytes: sum(({ requests }) => requests.bytes),
    };
    rows.push([
      `sum of the ${compared.length} with another reader`,
      ...countsOf(total),
      none,
      'the best of each',
      String(sum(({ other }) => other?.requests ?? 0)),
      grouped(sum(({ other }) => other?.bytes ?? 0)),
    ]);
  }
  const source = countedBy === 'log' ? "by the service's log" : 'by the clients that sent them';
  return { id: 'budgets', title: `Requests of readers, counted ${source}`, rows: [heads, ...rows] };
}

function countsOf({ get, head, list, kms, bytes }: RequestCounts): string[] {
  return [...[get, head, list, kms].map(String), grouped(bytes)];
}

function budgetText({ get, head, list, kms }: RequestBudget): string {
  const limits = [
    [get, 'GET'],
    [head, 'HEAD'],
    [list, 'LIST'],
    [kms, 'KMS'],
  ] as const;
  return limits
    .filter(([limit]) => limit > 0)
    .map(([limit, kind]) => `${limit} ${kind}`)
    .join(', ');
}

/** With a thin gap between thousands. */
function grouped(value: number): string {
  return String(value).replaceAll(/\B(?=(\d{3})+$)/g, ' ');
}
