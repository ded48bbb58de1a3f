/**
 * Keys in the order in which S3 lists them: that of their UTF-8 bytes.
 *
 * JavaScript compares strings by UTF-16 units, which puts U+FFFF before U+10000's surrogates the wrong way round. So each key
 * is held as its UTF-8 bytes, one character each, which `<` compares right.
 */
export function toOrder(key: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII keys are their own order
  return /^[\x00-\x7f]*$/.test(key) ? key : Buffer.from(key, 'utf8').toString('latin1');
}

export function fromOrder(order: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII keys are their own order
  return /^[\x00-\x7f]*$/.test(order) ? order : Buffer.from(order, 'latin1').toString('utf8');
}

/** The least string in this order that is after every one that begins with `prefix`; undefined when there is none. */
export function afterPrefix(prefix: string): string | undefined {
  for (let at = prefix.length - 1; at >= 0; at--) {
    const code = prefix.charCodeAt(at);
    if (code < 0xff) return prefix.slice(0, at) + String.fromCharCode(code + 1);
  }
  return undefined;
}

/** A sorted set of keys in their order form. */
export class SortedKeys {
  #sorted: string[] = [];
  // Insertion moves what follows; many keys put between two listings are cheaper to sort once.
  #added: Set<string> = new Set();

  add(order: string): void {
    // A key that is overwritten is there already.
    if (this.#sorted[lowerBound(this.#sorted, order)] !== order) this.#added.add(order);
  }

  delete(order: string): void {
    if (this.#added.delete(order)) return;
    const at = lowerBound(this.#sorted, order);
    if (this.#sorted[at] === order) this.#sorted.splice(at, 1);
  }

  /** Keys from `start` on, in order, as many as are asked for. */
  *from(start: string): Generator<string> {
    const sorted = this.#merged();
    for (let at = lowerBound(sorted, start); at < sorted.length; at++) yield sorted[at]!;
  }

  #merged(): readonly string[] {
    if (this.#added.size > 0) {
      if (this.#added.size < 8) {
        for (const order of this.#added) this.#sorted.splice(lowerBound(this.#sorted, order), 0, order);
      } else {
        for (const order of this.#added) this.#sorted.push(order);
        this.#sorted.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
      }
      this.#added = new Set();
    }
    return this.#sorted;
  }
}

function lowerBound(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
