/**
 * Tells the instruction files of a listing from objects, without a request: `k.instruction` is one where `k` is listed too.
 *
 * In S3's order `k` comes before `k.instruction`, and whatever lies between them begins with `k`. So it is enough to remember
 * the keys that the current one begins with, not all of them.
 */
export class CompanionFilter {
  readonly #suffix: string;
  readonly #ancestors: string[] = [];

  constructor(suffix: string) {
    this.#suffix = suffix;
  }

  /** Whether the key is the companion of one that came before; every key of the listing is to be asked about, in order. */
  isCompanion(key: string): boolean {
    while (this.#ancestors.length > 0 && !key.startsWith(this.#ancestors.at(-1) as string)) this.#ancestors.pop();
    const object = key.endsWith(this.#suffix) ? key.slice(0, -this.#suffix.length) : undefined;
    const companion = object !== undefined && this.#ancestors.includes(object);
    this.#ancestors.push(key);
    return companion;
  }
}
