import type { OrcColumn } from './schema.ts';

/** Which columns are read: a flag by column id, and whether that is all of them. */
export interface ColumnSelection {
  readonly selected: Uint8Array;
  readonly all: boolean;
  /** Requested paths that the file does not have. */
  readonly missing: readonly string[];
}

/**
 * Selects columns by path.
 *
 * A path is field names joined by dots (`address.city`), through lists by `element`, through maps by `key` and `value`.
 * A field whose own name holds dots is found by it. Selecting a column selects all below it and the structs, lists and
 * maps above it.
 */
export function selectColumns(root: OrcColumn, paths: readonly string[] | undefined): ColumnSelection {
  const selected = new Uint8Array(root.lastId + 1);
  if (paths === undefined) {
    selected.fill(1);
    return { selected, all: true, missing: [] };
  }
  const missing: string[] = [];
  selected[0] = 1;
  for (const path of paths) {
    const found = resolveColumn(root, path);
    if (found === undefined) {
      missing.push(path);
      continue;
    }
    for (const [index, column] of found.entries()) {
      selected[column.id] = 1;
      // Half a map cannot be shown, nor a union with members missing.
      if (column.type.kind === 'MAP') fill(selected, column.children[0]!);
      if (column.type.kind === 'UNION' || index === found.length - 1) fill(selected, column);
    }
  }
  return { selected, all: selected.every((flag) => flag === 1), missing };
}

/** The columns from below the root down to the one that `path` names, or undefined where there is none. */
export function resolveColumn(root: OrcColumn, path: string): OrcColumn[] | undefined {
  const whole = root.children.find((child) => child.name === path);
  if (whole !== undefined) return [whole];
  for (let dot = path.indexOf('.'); dot !== -1; dot = path.indexOf('.', dot + 1)) {
    const child = root.children.find((candidate) => candidate.name === path.slice(0, dot));
    const rest = child && resolveColumn(child, path.slice(dot + 1));
    if (child !== undefined && rest !== undefined) return [child, ...rest];
  }
  return undefined;
}

function fill(selected: Uint8Array, column: OrcColumn): void {
  selected.fill(1, column.id, column.lastId + 1);
}
