/** The shapes that lists and maps have in files of various writers. */
import type { ParquetField } from './schema.ts';

/** How a field that means a list holds its elements; undefined where it holds none, whatever it says. */
export type ListShape =
  /** group (LIST) { repeated group { element } } */
  | { readonly kind: 'plain'; readonly element: ParquetField }
  /** group (LIST) { repeated element }: the repeated field is the element itself, as older writers had it. */
  | { readonly kind: 'old'; readonly element: ParquetField; readonly repeated: ParquetField };

/** The rules of the format's page LogicalTypes, section "Backward-compatibility rules". */
export function listShape(field: ParquetField): ListShape | undefined {
  const [repeated, ...others] = field.children;
  if (field.meaning?.kind !== 'LIST' || repeated?.repetition !== 'REPEATED' || others.length > 0) return undefined;
  const [element] = repeated.children;
  if (element === undefined) return { kind: 'old', element: repeated, repeated };
  const named = repeated.name === 'array' || repeated.name === `${field.name}_tuple`;
  if (repeated.children.length > 1 || named || element.repetition === 'REPEATED' || isAnnotated(repeated)) {
    return { kind: 'old', element: repeated, repeated };
  }
  return { kind: 'plain', element };
}

/** A repeated group that is a list or a map itself is an element, not the layer around one. */
function isAnnotated({ meaning }: ParquetField): boolean {
  return meaning?.kind === 'LIST' || meaning?.kind === 'MAP';
}

/** Whether hyparquet's own reading of a list is right for this one. */
export function isPlainList(field: ParquetField): boolean {
  const shape = listShape(field);
  return shape?.kind === 'plain' || (shape?.kind === 'old' && shape.repeated.type !== undefined);
}

/** Key, value and the repeated group of a field that means a map; undefined where it is none, whatever it says. */
export function mapShape(
  field: ParquetField,
):
  | { readonly repeated: ParquetField; readonly key: ParquetField; readonly value: ParquetField | undefined }
  | undefined {
  const [repeated, ...others] = field.children;
  if (field.meaning?.kind !== 'MAP' || repeated?.repetition !== 'REPEATED' || others.length > 0) return undefined;
  const [key, value, ...more] = repeated.children;
  if (key === undefined || more.length > 0) return undefined;
  return { repeated, key, value };
}
