/** The request budgets, as the harness sees them. */
import { performance } from 'node:perf_hooks';
import { isLeaving } from '../leaving.ts';
import type { BenchOptions } from '../options.ts';
import type { BudgetFigures } from '../report/figures.ts';
import type { BudgetScenario, RequestBudget, RequestCounts } from './budget-spec.ts';
import { columnarScenarios } from './columnar-scenarios.ts';
import { objectScenarios } from './object-scenarios.ts';
import { openBudgetPlace } from './place.ts';

const GiB = 1024 ** 3;

/** @param size plaintext bytes of the object that is read from at random; below 1 GiB columns are shorter in proportion */
export function budgetScenarios({ size }: Pick<BenchOptions, 'size'>): BudgetScenario[] {
  return [...columnarScenarios(Math.min(1, size / GiB)), ...objectScenarios(size)];
}

export interface BudgetResult {
  readonly figures: readonly BudgetFigures[];
  readonly failures: readonly { readonly name: string; readonly message: string }[];
}

/** Runs each scenario once: requests are counted, not timed, and every run takes the same. More than the budget is a failure. */
export async function runBudgets(
  scenarios: readonly BudgetScenario[],
  { options, log }: { readonly options: BenchOptions; readonly log: (line: string) => void },
): Promise<BudgetResult> {
  const figures: BudgetFigures[] = [];
  const failures: { name: string; message: string }[] = [];
  if (scenarios.length === 0) return { figures, failures };
  const place = await openBudgetPlace(options);
  try {
    for (const { name, title, budget, other, prepare, run } of scenarios) {
      if (isLeaving()) break;
      const began = performance.now();
      try {
        await prepare(place);
        const requests = await place.requestsOf(() => run(place));
        figures.push({ name, title, requests, budget, other });
        const excess = excessOf(requests, budget);
        if (excess !== undefined) failures.push({ name, message: excess });
        log(`counted ${name} in ${((performance.now() - began) / 1000).toFixed(1)} s${excess ? `: ${excess}` : ''}`);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        failures.push({ name, message });
        log(`FAILED ${name}: ${message}`);
      }
    }
  } finally {
    await place.close();
  }
  return { figures, failures };
}

/** What is beyond the budget, in words; undefined where nothing is. */
export function excessOf(requests: RequestCounts, budget: RequestBudget): string | undefined {
  const limits = { ...budget, other: 0 };
  const over = (Object.keys(limits) as (keyof typeof limits)[]).filter((kind) => requests[kind] > limits[kind]);
  if (over.length === 0) return undefined;
  return over.map((kind) => `${requests[kind]} ${kind} requests, ${limits[kind]} are allowed`).join('; ');
}
