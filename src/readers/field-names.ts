/**
 * Names that fields have in a row, where several of a file have the same: of three called `a`, the second is `a_1` and
 * the third `a_2`. A name that the file has itself is not taken by another.
 */
export function distinctNames(names: readonly string[]): readonly string[] {
  if (new Set(names).size === names.length) return names;
  const taken = new Set(names);
  const seen = new Set<string>();
  return names.map((name) => {
    if (!seen.has(name)) {
      seen.add(name);
      return name;
    }
    let number = 1;
    while (taken.has(`${name}_${number}`)) number++;
    const distinct = `${name}_${number}`;
    taken.add(distinct);
    return distinct;
  });
}
