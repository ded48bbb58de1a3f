/** What reached the endpoint and what it answered, so that a test can say "one GET, one Decrypt, no HEAD". */

/** One request. Of a multipart upload's many, `operation` and `partNumber` tell which it was. */
export interface RequestLogEntry {
  /** Counts up from 1 over the life of the endpoint, in order of arrival. */
  readonly id: number;
  readonly service: 's3' | 'kms';
  /** AWS's name of the operation (`GetObject`, `UploadPart`, `KMS.Decrypt`), or method and sub-resource where there is none. */
  readonly operation: string;
  readonly method: string;
  /** As sent, without the query. */
  readonly path: string;
  /** As sent, without the question mark, and with session tokens and SSE-C keys masked. Of a presigned URL it holds the signature. */
  readonly query: string;
  readonly bucket?: string;
  readonly key?: string;
  readonly versionId?: string;
  readonly uploadId?: string;
  readonly partNumber?: number;
  /** The `Range` header as sent. */
  readonly range?: string;
  /** Other headers as sent, names in lower case. Without Authorization, session tokens and SSE-C keys. */
  readonly headers: Readonly<Record<string, string>>;
  /** Of a KMS request that could be read: which key it named, and under which encryption context. */
  readonly kms?: { readonly keyId?: string; readonly encryptionContext?: Readonly<Record<string, string>> };
  /** The access key id that the request claims. */
  readonly accessKeyId?: string;
  /** Number of the connection it came over, from 1. */
  readonly connection: number;
  /** Status of the answer; 0 where the connection was cut before one was sent. */
  readonly status: number;
  /** AWS's error code of the answer, if it was an error that this endpoint made. */
  readonly error?: string;
  /** Bytes of the request's body that were received, with chunk framing undone. */
  readonly bytesIn: number;
  /** Bytes of the answer's body that were handed to the connection. */
  readonly bytesOut: number;
  /** SHA-256 (hex) of the `bytesIn` bytes: of the whole body where `complete`, else as far as it came. Absent with `hashBodies: false`. */
  readonly bodySha256?: string;
  /** Whether the request's body was received to its end. */
  readonly complete: boolean;
  /** Whether the answer was sent to its end. */
  readonly answered: boolean;
  /** Name of the fault rule that was applied, or `rule <n>` for one without a name. */
  readonly fault?: string;
  /** The `x-amz-request-id` of the answer. */
  readonly requestId: string;
  /** When its head had arrived, milliseconds since 1970. */
  readonly startedAt: number;
  /** From then until it was answered or cut. */
  readonly milliseconds: number;
}

/** The log of one endpoint. A request is entered once it is answered, or cut. Iterates in the order of that. */
export interface RequestLog extends Iterable<RequestLogEntry> {
  readonly length: number;
  /** Requests that have arrived and are not yet entered. */
  readonly active: number;
  /** All entries, or those of one operation (`'GetObject'`), a copy. `'KMS.*'` stands for all operations of KMS. */
  all(operation?: string): RequestLogEntry[];
  /** How many entries there are, or are of one operation. */
  count(operation?: string): number;
  /** How many of each operation: `{ GetObject: 1, 'KMS.Decrypt': 1 }`. */
  counts(): Record<string, number>;
  /** Forgets what was entered so far. */
  clear(): void;
  /** Resolves once no request is active. A client may have its answer a moment before the request is entered. */
  settled(): Promise<void>;
}

/** Older entries are dropped beyond this many, so that an endpoint may run for ever. */
const maximumEntries = 50_000;

function matches(entry: RequestLogEntry, operation: string): boolean {
  return operation.endsWith('*') ? entry.operation.startsWith(operation.slice(0, -1)) : entry.operation === operation;
}

/** The log's writing side. */
export class RequestRecorder implements RequestLog {
  #entries: RequestLogEntry[] = [];
  #active = 0;
  #lastId = 0;
  #waiting: (() => void)[] = [];

  get length(): number {
    return this.#entries.length;
  }

  get active(): number {
    return this.#active;
  }

  [Symbol.iterator](): Iterator<RequestLogEntry> {
    return this.all()[Symbol.iterator]();
  }

  all(operation?: string): RequestLogEntry[] {
    return operation === undefined ? [...this.#entries] : this.#entries.filter((entry) => matches(entry, operation));
  }

  count(operation?: string): number {
    return operation === undefined ? this.#entries.length : this.all(operation).length;
  }

  counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { operation } of this.#entries) counts[operation] = (counts[operation] ?? 0) + 1;
    return counts;
  }

  clear(): void {
    this.#entries = [];
  }

  async settled(): Promise<void> {
    while (this.#active > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** A request has arrived. @returns its id */
  begin(): number {
    this.#active++;
    return ++this.#lastId;
  }

  /** A request is over; `undefined` for one that is not to be entered, as it was about the log itself. */
  end(entry: RequestLogEntry | undefined): void {
    this.#active--;
    if (entry !== undefined) {
      this.#entries.push(entry);
      // A tenth at a time, as removing from the front of an array costs its length.
      if (this.#entries.length > maximumEntries) this.#entries = this.#entries.slice(maximumEntries / 10);
    }
    if (this.#active === 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const resolve of waiting) resolve();
    }
  }
}
