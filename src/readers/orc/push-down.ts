import type { Comparison } from './comparison.ts';
import type { CompiledFilter, Test } from './filter.ts';
import type { OrcColumn } from './schema.ts';
import type { OrcColumnStatistics } from './statistics.ts';

/** What is known of a column in the part of the file in question. */
export interface ColumnKnowledge {
  readonly statistics: OrcColumnStatistics | undefined;
  /** Whether a value with this key can be there; undefined where there is no bloom filter that knows. */
  readonly mayContain?: ((key: unknown) => boolean) | undefined;
}

/**
 * Whether a part of the file (all, a stripe, a row group) can hold a row that fulfils the filter, by what is known of
 * its columns.
 *
 * False is a proof; true is not. So everything in doubt is true: missing statistics, negations, values within structs
 * that may be null.
 */
export function mayMatch(filter: CompiledFilter, knowledgeOf: (column: OrcColumn) => ColumnKnowledge): boolean {
  if (filter.kind !== 'column') {
    if (filter.kind === 'and') return filter.filters.every((inner) => mayMatch(inner, knowledgeOf));
    return filter.kind === 'nor' || filter.filters.some((inner) => mayMatch(inner, knowledgeOf));
  }
  const knowledge = knowledgeOf(filter.column);
  // A null struct makes its fields null, and no field's statistics count those.
  const nested = filter.path.length > 1;
  return filter.tests.every((test) => mayFulfil(test, knowledge, { comparison: filter.comparison, nested }));
}

function mayFulfil(
  test: Test,
  knowledge: ColumnKnowledge,
  context: { comparison: Comparison; nested: boolean },
): boolean {
  // No values and no nulls are what a writer says that kept no statistics (no row index): that is not knowledge.
  const kept = knowledge.statistics?.numberOfValues !== 0 || knowledge.statistics.hasNull === true;
  const statistics = kept ? knowledge.statistics : undefined;
  if (test.operator === '$ne' || test.operator === '$nin' || test.operator === '$not') return true;
  const mayBeNull = context.nested || statistics?.hasNull !== false;
  const mayHaveValue = statistics?.numberOfValues !== 0;
  const bounds = statistics === undefined ? undefined : context.comparison.bounds(statistics);
  return test.keys.some((key) => {
    // Only $eq and $in are fulfilled by null, and by null alone.
    if (key === null) return (test.operator === '$eq' || test.operator === '$in') && mayBeNull;
    if (!mayHaveValue) return false;
    if (bounds !== undefined && !withinBounds(test, key, bounds, context.comparison)) return false;
    const equality = test.operator === '$eq' || test.operator === '$in';
    return !equality || knowledge.mayContain === undefined || knowledge.mayContain(key);
  });
}

function withinBounds(
  test: Test,
  key: unknown,
  { minimum, maximum }: { minimum: unknown; maximum: unknown },
  comparison: Comparison,
): boolean {
  // Each comparison is written so that NaN (not to be ordered) proves nothing.
  const below = comparison.compare(maximum, key) < 0;
  const above = comparison.compare(minimum, key) > 0;
  if (test.operator === '$gt') return !below && comparison.compare(maximum, key) !== 0;
  if (test.operator === '$gte') return !below;
  if (test.operator === '$lt') return !above && comparison.compare(minimum, key) !== 0;
  if (test.operator === '$lte') return !above;
  return !below && !above;
}
