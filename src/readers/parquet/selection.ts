import type { ParquetField } from './schema.ts';

/** A schema cut down to the columns that are wanted. */
export interface Selection {
  readonly root: ParquetField;
  /** Positions of the leaves kept, among all leaves. */
  readonly leaves: readonly number[];
}

/**
 * Cuts the schema down to the given paths: `id`, `address.city`, `items` with all that is below, or a path as column
 * chunks have it. Of a map, key and value go together.
 *
 * @throws RangeError for a path that the schema does not have
 */
export function selectColumns(root: ParquetField, paths: readonly string[] | undefined): Selection {
  const leaves: number[] = [];
  const used = new Set<string>();
  let position = 0;
  const wanted = (path: string): boolean => {
    if (paths === undefined) return true;
    const found = paths.filter((name) => path === name || path.startsWith(`${name}.`));
    for (const name of found) used.add(name);
    return found.length > 0;
  };
  const below = (field: ParquetField): boolean => wanted(field.path) || field.children.some(below);
  const cut = (field: ParquetField, all: boolean): ParquetField | undefined => {
    const whole = all || wanted(field.path) || (field.meaning?.kind === 'MAP' && below(field));
    if (field.type !== undefined) {
      if (whole) leaves.push(position);
      position++;
      return whole ? field : undefined;
    }
    const children = field.children.flatMap((child) => cut(child, whole) ?? []);
    return children.length === 0 && !(whole && field.children.length === 0) ? undefined : { ...field, children };
  };
  const children = root.children.flatMap((child) => cut(child, paths === undefined) ?? []);
  const unknown = paths?.find((name) => !used.has(name));
  if (unknown !== undefined) {
    const known = root.children.map(({ name }) => name);
    const shown = known.length > 12 ? `${known.slice(0, 12).join(', ')}, …` : known.join(', ');
    throw new RangeError(`there is no column ${JSON.stringify(unknown)}; the file has ${shown}`);
  }
  return { root: { ...root, children }, leaves };
}
