/** The head of an HTTP/1.1 request, parsed no further than the sink needs it. */
export class RequestHead {
  readonly method: string;
  /** Path without the query, decoded. */
  readonly path: string;
  readonly #query: string;
  readonly #text: string;
  /** Header names are found in here, at the same places as in the text. */
  readonly #lower: string;

  /** @param text everything up to the empty line */
  constructor(text: string) {
    const lineEnd = text.indexOf('\r\n');
    const line = lineEnd < 0 ? text : text.slice(0, lineEnd);
    const [method = '', target = ''] = line.split(' ', 2);
    const mark = target.indexOf('?');
    this.method = method;
    this.path = decodeURIComponent(mark < 0 ? target : target.slice(0, mark));
    this.#query = mark < 0 ? '' : `&${target.slice(mark + 1)}`;
    this.#text = text;
    this.#lower = text.toLowerCase();
  }

  /** @param name in lower case */
  header(name: string): string | undefined {
    const at = this.#lower.indexOf(`\r\n${name}:`);
    if (at < 0) return undefined;
    const start = at + name.length + 3;
    const end = this.#text.indexOf('\r\n', start);
    return this.#text.slice(start, end < 0 ? undefined : end).trim();
  }

  /** The value of a query parameter: empty where it has none. */
  query(name: string): string | undefined {
    const found = new RegExp(`&${name}(?:=([^&]*))?(?:&|$)`).exec(this.#query);
    return found === null ? undefined : decodeURIComponent(found[1] ?? '');
  }

  /** The key of a path-style S3 request, empty for the bucket itself. */
  get key(): string {
    const slash = this.path.indexOf('/', 1);
    return slash < 0 ? '' : this.path.slice(slash + 1);
  }
}
