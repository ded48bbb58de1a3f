import { type Comparison, comparisonOf, type FilterValue } from './comparison.ts';
import type { OrcColumn } from './schema.ts';
import { resolveColumn } from './selection.ts';
import type { OrcVector } from './vectors.ts';

export type { FilterValue } from './comparison.ts';

/**
 * Conditions on one column; all of them have to hold. A null fulfils only $eq, $in and the negations, as null is
 * written there.
 */
export interface OrcConditions {
  $eq?: FilterValue;
  $ne?: FilterValue;
  $gt?: FilterValue;
  $gte?: FilterValue;
  $lt?: FilterValue;
  $lte?: FilterValue;
  $in?: readonly FilterValue[];
  $nin?: readonly FilterValue[];
  $not?: OrcConditions;
}

/**
 * Which rows are wanted, in the words of hyparquet's filters: `{ price: { $gte: 10, $lt: 20 }, country: 'FI' }`,
 * combined by `$and`, `$or` and `$nor`.
 *
 * Columns are named by path, through structs only. DATE compares with 'YYYY-MM-DD' strings or Dates, timestamps with
 * ISO 8601 strings, Dates or OrcTimestamps, DECIMAL with decimal strings, numbers or bigints.
 */
export type OrcFilter =
  | { $and: readonly OrcFilter[] }
  | { $or: readonly OrcFilter[] }
  | { $nor: readonly OrcFilter[] }
  | { readonly [path: string]: FilterValue | OrcConditions };

type Operator = keyof OrcConditions;

/** A condition with its targets brought to the column's terms. */
export interface Test {
  readonly operator: Operator;
  /** Keys to compare with, of $eq and its like one; null stands for null. Of $not none. */
  readonly keys: readonly unknown[];
  readonly inner: readonly Test[];
}

/** A filter, checked and brought to the file's columns. */
export type CompiledFilter =
  | { readonly kind: 'and' | 'or' | 'nor'; readonly filters: readonly CompiledFilter[] }
  | {
      readonly kind: 'column';
      /** From below the root to the column itself. */
      readonly path: readonly OrcColumn[];
      readonly column: OrcColumn;
      readonly comparison: Comparison;
      readonly tests: readonly Test[];
    };

/**
 * Checks a filter and brings it to the columns of a file. Throws TypeError or RangeError: what is wrong with it is the
 * caller's mistake.
 */
export function compileFilter(root: OrcColumn, filter: OrcFilter): CompiledFilter {
  const filters: CompiledFilter[] = [];
  for (const [name, condition] of Object.entries(filter) as [string, unknown][]) {
    if (name === '$and' || name === '$or' || name === '$nor') {
      if (!Array.isArray(condition)) throw new TypeError(`${name} in a filter takes an array of filters`);
      const kind = name === '$and' ? 'and' : name === '$or' ? 'or' : 'nor';
      filters.push({ kind, filters: condition.map((inner: OrcFilter) => compileFilter(root, inner)) });
      continue;
    }
    const path = resolveColumn(root, name);
    if (path === undefined)
      throw new RangeError(`a filter names ${JSON.stringify(name)}, which the file does not have`);
    const above = path.slice(0, -1).find((column) => column.type.kind !== 'STRUCT');
    if (above !== undefined)
      throw new RangeError(`a filter cannot look into the ${above.type.kind} of ${JSON.stringify(name)}`);
    const column = path.at(-1)!;
    const comparison = comparisonOf(column, name);
    filters.push({ kind: 'column', path, column, comparison, tests: compileTests(condition, comparison) });
  }
  return filters.length === 1 ? filters[0]! : { kind: 'and', filters };
}

function compileTests(condition: unknown, comparison: Comparison): Test[] {
  if (!isConditions(condition)) return [{ operator: '$eq', keys: [comparison.keyOf(condition)], inner: [] }];
  return Object.entries(condition).map(([name, target]): Test => {
    switch (name) {
      case '$eq':
      case '$ne':
      case '$gt':
      case '$gte':
      case '$lt':
      case '$lte':
        return { operator: name, keys: [comparison.keyOf(target)], inner: [] };
      case '$in':
      case '$nin':
        if (!Array.isArray(target)) throw new TypeError(`${name} in a filter takes an array`);
        return { operator: name, keys: target.map((value) => comparison.keyOf(value)), inner: [] };
      case '$not':
        return { operator: name, keys: [], inner: compileTests(target, comparison) };
      default:
        throw new TypeError(`a filter has the condition ${JSON.stringify(name)}, which does not exist`);
    }
  });
}

function isConditions(condition: unknown): condition is OrcConditions {
  return typeof condition === 'object' && condition !== null && Object.getPrototypeOf(condition) === Object.prototype;
}

/** The columns that a filter looks at. */
export function filterColumns(filter: CompiledFilter): OrcColumn[][] {
  return filter.kind === 'column' ? [[...filter.path]] : filter.filters.flatMap(filterColumns);
}

/** Which rows of a batch fulfil the filter: a byte a row. `root` is the vector of the root struct. */
export function matchRows(filter: CompiledFilter, root: OrcVector): Uint8Array {
  const { length } = root;
  if (filter.kind === 'column') return matchColumn(filter, vectorAt(root, filter.path));
  const match = new Uint8Array(length).fill(filter.kind === 'and' ? 1 : 0);
  for (const inner of filter.filters) {
    const mask = matchRows(inner, root);
    if (filter.kind === 'and') for (let row = 0; row < length; row++) match[row]! &= mask[row]!;
    else for (let row = 0; row < length; row++) match[row]! |= mask[row]!;
  }
  if (filter.kind === 'nor') for (let row = 0; row < length; row++) match[row]! ^= 1;
  return match;
}

function vectorAt(root: OrcVector, path: readonly OrcColumn[]): OrcVector {
  let vector = root;
  for (const column of path) {
    if (vector.kind !== 'struct') throw new TypeError(`a filter looks into a ${vector.kind}`);
    vector = vector.children[vector.names.indexOf(column.name)]!;
  }
  return vector;
}

function matchColumn(filter: Extract<CompiledFilter, { kind: 'column' }>, vector: OrcVector): Uint8Array {
  const { length, nulls } = vector;
  const { comparison, tests } = filter;
  const match = new Uint8Array(length);
  const keyAt = comparison.keysOf(vector);
  for (let row = 0; row < length; row++) {
    const key = nulls?.[row] === 1 ? null : keyAt(row);
    match[row] = holds(key, tests, comparison) ? 1 : 0;
  }
  return match;
}

function holds(key: unknown, tests: readonly Test[], comparison: Comparison): boolean {
  for (const test of tests) if (!holdsOne(key, test, comparison)) return false;
  return true;
}

function holdsOne(key: unknown, test: Test, comparison: Comparison): boolean {
  const [target] = test.keys;
  switch (test.operator) {
    case '$eq':
      return equal(key, target, comparison);
    case '$ne':
      return !equal(key, target, comparison);
    case '$gt':
      return key !== null && target !== null && comparison.compare(key, target) > 0;
    case '$gte':
      return key !== null && target !== null && comparison.compare(key, target) >= 0;
    case '$lt':
      return key !== null && target !== null && comparison.compare(key, target) < 0;
    case '$lte':
      return key !== null && target !== null && comparison.compare(key, target) <= 0;
    case '$in':
      return test.keys.some((one) => equal(key, one, comparison));
    case '$nin':
      return !test.keys.some((one) => equal(key, one, comparison));
    case '$not':
      return !holds(key, test.inner, comparison);
  }
}

function equal(key: unknown, target: unknown, comparison: Comparison): boolean {
  return key === null || target === null ? key === target : comparison.compare(key, target) === 0;
}
