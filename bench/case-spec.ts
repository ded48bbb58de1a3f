/** What a case is: data that the harness selects and prints, and the case's own process turns into work. */
import type { SinkPace } from './sink/sink-control.ts';

interface CaseFrame {
  /** `<group>/<id>`; unique, and what `--only` looks at. */
  readonly name: string;
  readonly group: GroupName;
  /** For people, without the group. */
  readonly title: string;
  /** How much is measured: bytes of plaintext, or a number of operations. */
  readonly size: number;
  /** How much is done before that, and to verify the case. */
  readonly warmUp: number;
  /** Name of the case that this one is compared with, by the rounds of one run. */
  readonly baseline?: string;
  readonly tls?: true;
  readonly pace?: SinkPace;
  /** MB/s that the pace allows. */
  readonly ideal?: number;
  /** Where a round takes long: this many at most. */
  readonly maxRounds?: number;
}

/** A loop over a bare cipher, 64 KiB at a time. */
export interface CipherWork {
  readonly kind: 'cipher';
  readonly loop: 'gcm' | 'gcm-decrypt' | 'gcm-crc' | 'segment';
}

/** A Transform between a source of 64 KiB chunks and a Writable that discards. */
export interface StreamWork {
  readonly kind: 'stream';
  readonly transform: 'node-cipher' | 'sealpipe-encrypt' | 'sealpipe-decrypt';
}

export interface UploadWork {
  readonly kind: 'upload';
  readonly client: 'lib-storage' | 'lib-storage-gcm' | 'sealpipe' | 'with-encryption';
  /** S3Client settings: as they come, or as the fastest that the SDK has. */
  readonly tuned: boolean;
  readonly source: 'file' | 'stream';
  /** MiB; absent: the client's default. */
  readonly partSize?: number;
  readonly queueSize?: number;
  readonly workers?: number;
  readonly transport?: 'client' | 'workers';
  /** With a segment index, of the default segments. */
  readonly segmentIndex?: boolean;
}

export interface DownloadWork {
  readonly kind: 'download';
  readonly client: 'sdk' | 'sdk-gcm' | 'sealpipe';
  readonly tuned: boolean;
  readonly target: 'drop' | 'file';
  /** Connections, where the client can use several. */
  readonly concurrency?: number;
}

/** Objects of 4 KiB, sixteen at a time; sealpipe's with a data key, and so a KMS call, each. */
export interface SmallObjectsWork {
  readonly kind: 'small-objects';
  readonly client: 'sdk' | 'sealpipe';
  readonly tuned: boolean;
  readonly direction: 'put' | 'get';
}

/** 64 KiB at random places of one object, one after the other. */
export interface RangesWork {
  readonly kind: 'ranges';
  readonly client: 'sdk' | 'sealpipe';
  readonly tuned: boolean;
}

export type CaseWork = CipherWork | StreamWork | UploadWork | DownloadWork | SmallObjectsWork | RangesWork;
export type CaseSpec = CaseFrame & CaseWork;

/** The groups, in the order of the report. */
export const groups = {
  cipher: { title: 'Bare ciphers, one thread, 64 KiB at a time', unit: 'MB' },
  'encrypt-stream': { title: 'Encrypting streams: 64 KiB chunks, a Writable that discards', unit: 'MB' },
  'decrypt-stream': { title: 'Decrypting streams: 64 KiB chunks, a Writable that discards', unit: 'MB' },
  'upload-file': { title: 'Uploads of a file', unit: 'MB' },
  'upload-stream': { title: 'Uploads of a stream of unknown length, 64 KiB chunks', unit: 'MB' },
  'upload-tls': { title: 'Uploads of a file over TLS', unit: 'MB' },
  'download-drop': { title: 'Downloads, read and dropped', unit: 'MB' },
  'download-file': { title: 'Downloads to a file', unit: 'MB' },
  'download-tls': { title: 'Downloads over TLS, read and dropped', unit: 'MB' },
  'capped-up-4': { title: 'Uploads, 20 ms and 40 MB/s a connection, 4 connections', unit: 'MB' },
  'capped-up-8': { title: 'Uploads, 20 ms and 40 MB/s a connection, 8 connections', unit: 'MB' },
  'capped-down-4': { title: 'Downloads, 20 ms and 40 MB/s a connection, 4 connections', unit: 'MB' },
  'capped-down-8': { title: 'Downloads, 20 ms and 40 MB/s a connection, 8 connections', unit: 'MB' },
  'small-put': { title: 'Puts of 4 KiB, 16 at a time', unit: 'op' },
  'small-get': { title: 'Gets of 4 KiB, 16 at a time', unit: 'op' },
  ranges: { title: 'Random reads of 64 KiB in one object, one after the other', unit: 'op' },
  memory: { title: 'Memory: uploads of a stream, small and large', unit: 'MB' },
} as const;

export type GroupName = keyof typeof groups;

/** Where a case works: everything that it has to be told. */
export interface World {
  readonly endpoint: string;
  readonly kmsEndpoint: string;
  readonly kmsKeyId: string;
  readonly region: string;
  /** Absent: the SDK finds them. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** PEM of an authority that the process does not trust by itself. Clients with one of their own are not what is measured. */
  readonly ca?: string;
  readonly bucket: string;
  /** Begins the keys of everything that is written. */
  readonly prefix: string;
  /** Begins the keys of everything that is read. */
  readonly servedPrefix: string;
  /** Where source files are and downloads go. */
  readonly folder: string;
  /** SHA-256 of what objects that are read hold, by key, where it is verified. */
  readonly digests: Readonly<Record<string, string>>;
}

/** What a case's process does with its spec. */
export interface CaseRunner {
  /** The measured work, of `size` bytes or operations. */
  run(size: number): Promise<void>;
  /** Whether the last run did what the case says: throws when it did not. */
  check(): Promise<void>;
  /** Milliseconds of each operation of the last run, where there are operations. */
  readonly latencies?: readonly number[];
  close(): Promise<void>;
}

/** Where the source file of that length is. */
export const sourceFile = (folder: string, length: number): string => `${folder}/source-${length}.bin`;

/** What objects are served: not encrypted, by sealpipe (V3), by bare GCM, by sealpipe and then altered in its tag. */
export type ServedKind = 'plain' | 'sealed' | 'gcm' | 'altered';

/** The key of a served object with that many bytes of plaintext. */
export const servedKey = ({ servedPrefix }: World, kind: ServedKind, length: number): string =>
  `${servedPrefix}${kind}-${length}`;
