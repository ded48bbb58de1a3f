/** What a sink can be asked for: objects that are a repeated block and some last bytes, so that none takes memory. */
import { type RepeatedContent, storedContent } from '../repeated-content.ts';

/** One object, as told over the control interface. */
export interface ServedObjectDefinition {
  /** Bytes of {@link storedContent} that it begins with. */
  readonly contentLength: number;
  /** What follows, base64: a tag, or nothing. */
  readonly tail: string;
  /** User metadata. */
  readonly metadata: Readonly<Record<string, string>>;
}

export class ServedObject {
  readonly length: number;
  readonly etag: string;
  /** Header lines of the user metadata. */
  readonly metadata: string;
  readonly #content: RepeatedContent;
  readonly #tail: Buffer;

  constructor({ contentLength, tail, metadata }: ServedObjectDefinition, etag: string) {
    this.#content = storedContent(contentLength);
    this.#tail = Buffer.from(tail, 'base64');
    this.length = contentLength + this.#tail.length;
    this.etag = etag;
    this.metadata = Object.entries(metadata)
      .map(([name, value]) => `x-amz-meta-${name}: ${value}\r\n`)
      .join('');
  }

  /** A view of the bytes from `at` on, at most `limit`. */
  slice(at: number, limit: number): Buffer {
    const { length } = this.#content;
    return at < length ? this.#content.slice(at, limit) : this.#tail.subarray(at - length, at - length + limit);
  }
}

export class ServedObjects {
  readonly #objects = new Map<string, ServedObject>();
  #versions = 0;

  define(key: string, definition: ServedObjectDefinition): void {
    this.#versions += 1;
    this.#objects.set(key, new ServedObject(definition, `"sink-${this.#versions}"`));
  }

  /** `NAME/anything` is served by `NAME`: one small object stands for thousands. */
  find(key: string): ServedObject | undefined {
    return this.#objects.get(key) ?? this.#objects.get(key.split('/', 1)[0] as string);
  }

  /** Keys and objects under a prefix, in order. */
  list(prefix: string): [string, ServedObject][] {
    return [...this.#objects].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1));
  }
}
