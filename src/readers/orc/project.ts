import type { OrcColumn } from './schema.ts';
import type { OrcVector } from './vectors.ts';

/** Leaves out the fields that were read for a filter and are not wanted in the result. */
export function projectVector(vector: OrcVector, column: OrcColumn, selected: Uint8Array): OrcVector {
  if (vector.kind !== 'struct') return vector;
  const names: string[] = [];
  const children: OrcVector[] = [];
  for (const [index, name] of vector.names.entries()) {
    const child = column.children.find((candidate) => candidate.name === name);
    if (child === undefined || selected[child.id] !== 1) continue;
    names.push(name);
    children.push(projectVector(vector.children[index]!, child, selected));
  }
  return { ...vector, names, children };
}
