/** The steps of the demonstration: upload with a failing part, listing, download, a tampered copy. */
import { createHash, type Hash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Readable, Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { KMSClient } from '@aws-sdk/client-kms';
import {
  CreateBucketCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { EncryptedS3, kmsKeyring, type ListEntry, SealpipeError, type UploadResult } from '../../index.ts';
import type { LocalEndpoint, RequestLogEntry } from '../../local/index.ts';
import { type DemoSource, demoStreams, RowCounter, rowStreams } from './demo-source.ts';

const bucket = 'demo';
const keyId = 'alias/sealpipe';
const encryptionContext = { project: 'demo' };
/** The least that S3 takes, so that a few megabytes are several parts. */
const partSize = 5 * 1024 * 1024;

/** One step's outcome. */
export interface UploadStep {
  readonly result: UploadResult;
  readonly sha256: string;
  readonly head: Buffer;
  readonly rows: number | undefined;
  readonly seconds: number;
  /** The sends of the request that was made to fail, as the endpoint received them. */
  readonly sends: readonly RequestLogEntry[];
  /** All requests of the upload by operation. */
  readonly requests: Record<string, number>;
}

export interface DownloadStep {
  readonly sha256: string;
  readonly rows: number | undefined;
  readonly seconds: number;
  readonly requests: Record<string, number>;
}

export interface StoredStep {
  readonly size: number;
  readonly head: Buffer;
  readonly metadata: Record<string, string>;
}

export interface TamperStep {
  /** Offset of the byte in which one bit was changed. */
  readonly offset: number;
  /** The code that the download failed with; undefined if it did not fail. */
  readonly code: string | undefined;
  readonly fileLeft: boolean;
}

/** One demonstration on a running endpoint. */
export class DemoRun {
  readonly #endpoint: LocalEndpoint;
  readonly #source: DemoSource;
  readonly #signal: AbortSignal;
  readonly #client: S3Client;
  readonly #kms: KMSClient;
  readonly #s3: EncryptedS3;

  constructor({ endpoint, source, signal }: { endpoint: LocalEndpoint; source: DemoSource; signal: AbortSignal }) {
    this.#endpoint = endpoint;
    this.#source = source;
    this.#signal = signal;
    // The tampered copy is a stream: its checksum is of no interest, and would come as a trailer.
    this.#client = new S3Client({ ...endpoint.s3Config, requestChecksumCalculation: 'WHEN_REQUIRED' });
    this.#kms = new KMSClient(endpoint.kmsConfig);
    this.#s3 = new EncryptedS3({
      client: this.#client,
      keyring: kmsKeyring({ keyId, client: this.#kms }),
      encryptionContext,
    });
  }

  async close(): Promise<void> {
    this.#client.destroy();
    this.#kms.destroy();
  }

  /** Pipes the file into an encrypted upload, of which one part is made to fail once. */
  async upload(): Promise<UploadStep> {
    await this.#client.send(new CreateBucketCommand({ Bucket: bucket }));
    const { faults, requests } = this.#endpoint;
    await requests.settled();
    requests.clear();
    faults.set([
      { name: 'demo', operation: 'UploadPart', partNumber: 2, status: 503 },
      // What is no larger than one part is a single PUT.
      { name: 'demo', operation: 'PutObject', status: 503 },
    ]);
    const meter = new Meter();
    const counter = new RowCounter({ write: true });
    const started = performance.now();
    const writable = this.#s3.createWriteStream(
      { Bucket: bucket, Key: this.#source.key },
      { partSize, signal: this.#signal },
    );
    await pipeline([...demoStreams(this.#source, counter), meter, writable]).catch((cause: unknown) => {
      throw cause instanceof SealpipeError ? cause : unreadable(this.#source, cause);
    });
    const result = await writable.result;
    const seconds = (performance.now() - started) / 1000;
    faults.clear();
    await requests.settled();
    const failed = requests.all().find(({ fault }) => fault === 'demo');
    return {
      result,
      ...meter.result(),
      rows: this.#source.content === 'bytes' ? undefined : counter.rows,
      seconds,
      requests: requests.counts(),
      sends: requests.all(failed?.operation ?? 'none').filter(({ partNumber }) => partNumber === failed?.partNumber),
    };
  }

  /** Looks at what S3 holds, as anybody with access to the bucket could. */
  async stored(): Promise<StoredStep> {
    const head = await this.#client.send(new HeadObjectCommand(this.#address()));
    const start = await this.#client.send(new GetObjectCommand({ ...this.#address(), Range: 'bytes=0-15' }));
    return {
      size: head.ContentLength ?? 0,
      head: Buffer.from((await start.Body?.transformToByteArray()) ?? []),
      metadata: head.Metadata ?? {},
    };
  }

  async list(): Promise<ListEntry[]> {
    const entries: ListEntry[] = [];
    for await (const entry of this.#s3.list({ Bucket: bucket }, { contents: 'gcm', signal: this.#signal }))
      entries.push(entry);
    return entries;
  }

  /** Reads the object back, through the JSON parser where it holds rows. */
  async download(): Promise<DownloadStep> {
    const { requests } = this.#endpoint;
    await requests.settled();
    requests.clear();
    const meter = new Meter();
    const counter = new RowCounter({ write: false });
    const started = performance.now();
    // Released at once: that the hash is right counts only if the stream ends without an error, which means authenticated.
    const readable = this.#s3.createReadStream(this.#address(), { release: 'delayed', signal: this.#signal });
    await pipeline([readable, meter, ...rowStreams(this.#source, counter), discard()]);
    await requests.settled();
    return {
      sha256: meter.result().sha256,
      rows: this.#source.content === 'bytes' ? undefined : counter.rows,
      seconds: (performance.now() - started) / 1000,
      requests: requests.counts(),
    };
  }

  /** Copies the stored bytes with one bit changed, and tries to download the copy. */
  async tamper(): Promise<TamperStep> {
    const original = await this.#client.send(new GetObjectCommand(this.#address()));
    const size = original.ContentLength ?? 0;
    const offset = Math.floor(size / 2);
    const copy = { Bucket: bucket, Key: `tampered/${this.#source.key}` };
    await this.#client.send(
      new PutObjectCommand({
        ...copy,
        Body: (original.Body as Readable).compose(new BitFlip(offset)) as Readable,
        ContentLength: size,
        Metadata: original.Metadata,
      }),
      { abortSignal: this.#signal },
    );
    const folder = await mkdtemp(join(tmpdir(), 'sealpipe-demo-'));
    try {
      const path = join(folder, 'tampered');
      const code = await this.#s3.download(copy, path, { signal: this.#signal }).then(
        () => undefined,
        (error: unknown) => {
          if (error instanceof SealpipeError && error.code !== 'ERR_SEALPIPE_ABORTED') return error.code;
          throw error;
        },
      );
      return { offset, code, fileLeft: existsSync(path) };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  #address(): { Bucket: string; Key: string } {
    return { Bucket: bucket, Key: this.#source.key };
  }
}

function unreadable({ path, content }: DemoSource, cause: unknown): SealpipeError {
  const kind = { ndjson: ' as a JSON value a line', json: ' as a JSON array', bytes: '' }[content];
  const said = cause instanceof Error ? cause.message : String(cause);
  return new SealpipeError('SOURCE_FAILED', `${path} cannot be read${kind}: ${said}`, { cause });
}

/** Hashes what goes through, and keeps how it begins. */
class Meter extends Transform {
  readonly #hash: Hash = createHash('sha256');
  #head = Buffer.alloc(0);

  override _transform(
    chunk: Buffer | string,
    _encoding: BufferEncoding,
    callback: (error: null, chunk: Buffer) => void,
  ): void {
    const bytes = Buffer.from(chunk as Buffer);
    this.#hash.update(bytes);
    if (this.#head.length < 16) this.#head = Buffer.concat([this.#head, bytes]).subarray(0, 16);
    callback(null, bytes);
  }

  result(): { sha256: string; head: Buffer } {
    return { sha256: this.#hash.digest('hex'), head: this.#head };
  }
}

class BitFlip extends Transform {
  readonly #offset: number;
  #position = 0;

  constructor(offset: number) {
    super();
    this.#offset = offset;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: (error: null, chunk: Buffer) => void): void {
    const at = this.#offset - this.#position;
    this.#position += chunk.length;
    const altered = Buffer.from(chunk);
    if (at >= 0 && at < chunk.length) altered.writeUInt8(altered.readUInt8(at) ^ 1, at);
    callback(null, altered);
  }
}

function discard(): Writable {
  return new Writable({ objectMode: true, write: (_chunk, _encoding, callback) => callback() });
}
