/** What the main thread and its workers say to each other. Part bytes never travel: they lie in shared memory. */
import type { FileIdentity } from '../file-identity.ts';

/** A signed request without its body, as the caller's S3Client would have sent it. */
export interface SignedRequest {
  readonly protocol: 'http:' | 'https:';
  readonly hostname: string;
  readonly port: number | undefined;
  readonly method: string;
  /** With the query string. */
  readonly path: string;
  readonly headers: Record<string, string>;
  /** Milliseconds in which its connection has to stand. Undefined or 0: no limit. */
  readonly connectTimeout?: number | undefined;
}

/** What came back. The body only where it matters: of an error, and not endlessly. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** An upload's key arrives at a worker. Each worker derives H from it by itself, so that H never leaves a thread. */
export interface OpenSession {
  readonly type: 'open';
  readonly session: number;
  /** For one receiver, who overwrites it. */
  readonly key: SharedArrayBuffer;
  readonly iv: Uint8Array;
  readonly aad: Uint8Array;
  /** The file that parts are read from, and what it was when the upload began. */
  readonly file: { readonly path: string; readonly identity: FileIdentity } | undefined;
  /** Where a segment index is made: K_idx, as `key` is. */
  readonly index?: { readonly key: SharedArrayBuffer; readonly segmentSize: number } | undefined;
}

/** Encrypt one part in place. */
export interface SealTask {
  readonly type: 'seal';
  readonly task: number;
  readonly session: number;
  /** Holds the plaintext, unless it is to be read from the session's file; takes the ciphertext. */
  readonly memory: SharedArrayBuffer;
  /** Plaintext offset in the object: a multiple of 16. */
  readonly offset: number;
  readonly length: number;
  /** Takes the 16 bytes of Z, at this index of elements. */
  readonly zs: SharedArrayBuffer;
  readonly zIndex: number;
  readonly fromFile: boolean;
}

/** Have the pages of some shared memory made; its content stays. */
export interface TouchTask {
  readonly type: 'touch';
  readonly task: number;
  readonly memory: SharedArrayBuffer;
}

/** What became of a part. */
export interface SealOutcome {
  /** Of the ciphertext. */
  readonly crc32: number;
  /** Of the segment index, where one is made: 16 bytes a segment. */
  readonly entries: Uint8Array | undefined;
}

/** Send the first bytes of some shared memory. */
export interface SendTask {
  readonly type: 'send';
  readonly task: number;
  readonly session: number;
  readonly memory: SharedArrayBuffer;
  readonly length: number;
  readonly request: SignedRequest;
}

/** A download's key arrives at a worker, with the file that plaintext goes to; none where it stays in shared memory. */
export interface OpenReading {
  readonly type: 'open-reading';
  readonly session: number;
  /** For one receiver, who overwrites it. */
  readonly key: SharedArrayBuffer;
  readonly iv: Uint8Array;
  readonly aad: Uint8Array;
  readonly target: string | undefined;
}

/** Decrypt one segment in place, and write it to the session's file where there is one. */
export interface UnsealTask {
  readonly type: 'unseal';
  readonly task: number;
  readonly session: number;
  readonly memory: SharedArrayBuffer;
  /** Plaintext offset in the object: a multiple of 16. */
  readonly offset: number;
  readonly length: number;
  readonly zs: SharedArrayBuffer;
  readonly zIndex: number;
}

/** Fetch a range of the stored object, from where an earlier task for it broke off, and decrypt what arrives. */
export interface FetchTask {
  readonly type: 'fetch';
  readonly task: number;
  readonly session: number;
  /** Tells the range from others of the session. */
  readonly range: number;
  readonly offset: number;
  /** Content bytes of the whole range. */
  readonly length: number;
  /** Bytes of the tag that follow them. */
  readonly trailerLength: number;
  /** Takes the plaintext, where the session has no file. */
  readonly memory: SharedArrayBuffer | undefined;
  readonly zs: SharedArrayBuffer;
  readonly zIndex: number;
  readonly request: SignedRequest;
  /** What the answer has to say in Content-Range. */
  readonly contentRange: string;
  /** What it has to say in ETag, if anything. */
  readonly etag: string;
  /** Milliseconds without a byte after which the connection counts as broken. */
  readonly idleTimeout: number;
}

export interface FetchResult {
  /** Bytes of the range that have arrived by now, earlier tasks included. */
  readonly received: number;
  /** The bytes behind the content, when all has arrived. */
  readonly trailer: Uint8Array | undefined;
  /** An answer that was not the range. */
  readonly answer: RawAnswer | undefined;
  /** What the connection failed with. */
  readonly failure: WorkerError | undefined;
}

/** End one send, or fetch, early. */
export interface CancelSend {
  readonly type: 'cancel';
  readonly task: number;
}

/** Forget a session: zero its secrets, close its file, end its requests. */
export interface CloseSession {
  readonly type: 'close';
  readonly session: number;
}

export type ToWorker =
  | OpenSession
  | SealTask
  | TouchTask
  | SendTask
  | OpenReading
  | UnsealTask
  | FetchTask
  | CancelSend
  | CloseSession;

/** An error that crosses threads: a SealpipeError's code, or what Node's network layer says. */
export interface WorkerError {
  readonly sealpipe: boolean;
  readonly name: string;
  readonly code: string | undefined;
  readonly message: string;
  readonly cause: WorkerError | undefined;
}

export type FromWorker =
  | { readonly task: number; readonly ok: true; readonly value: unknown }
  | { readonly task: number; readonly ok: false; readonly error: WorkerError };
