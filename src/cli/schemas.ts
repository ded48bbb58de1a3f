/**
 * What `--json` prints, one schema a command. `sealpipe <command> --json-schema` shows it. A contract: a property may be added in a
 * minor version, and none is taken away or changed.
 */
import { z } from 'zod';
import type { JsonValue } from '../readers/orc/json.ts';

/** A finished transfer in either direction. */
export interface TransferDocument {
  bucket: string;
  key: string;
  bytes: number;
  seconds: number;
  parts: number;
  retries: number;
  restarts: number;
  kmsCalls: number;
  etag: string;
}

/** A finished download: of a range, which one it was and what verified it. */
export interface GetDocument extends TransferDocument {
  range?: { start: number; end: number } | undefined;
  authenticated?: 'tag' | 'index' | false | undefined;
}

const bytes = z.number().int().nonnegative();
const count = z.number().int().nonnegative();
const strings = z.record(z.string(), z.string());

const transfer = z.object({
  bucket: z.string(),
  key: z.string(),
  bytes: bytes.describe('plaintext bytes'),
  seconds: z.number().nonnegative(),
  parts: count.describe('parts of the upload; 1 for a single PUT and for a download'),
  retries: count.describe('requests beyond the first: parts sent again, or a download taken up where it broke'),
  restarts: count.describe('how often the whole upload started over under a fresh data key'),
  kmsCalls: count.describe('requests to KMS, repeats included'),
  etag: z.string(),
});

/** `put`: one line for each file. */
export const put: z.ZodType<TransferDocument> = transfer.describe(
  'One object that was uploaded; one line for each file',
);

/** `get` to a file. */
export const get: z.ZodType<GetDocument> = transfer
  .extend({
    range: z
      .object({ start: bytes, end: bytes.describe('not part of it') })
      .optional()
      .describe('with --range: which bytes of the plaintext'),
    authenticated: z
      .union([z.literal(['tag', 'index']), z.literal(false)])
      .optional()
      .describe('with --range: what verified them; false: nothing did'),
  })
  .describe('One object, or a range of one, that was downloaded; a whole object was authenticated');

/** An index that was made. */
export interface IndexDocument {
  bucket: string;
  key: string;
  indexKey: string;
  segmentSize: number;
  bytes: number;
  indexBytes: number;
  seconds: number;
  kmsCalls: number;
  etag: string;
}

/** `index`. */
export const index: z.ZodType<IndexDocument> = z
  .object({
    bucket: z.string(),
    key: z.string(),
    indexKey: z.string().describe('where the index lies, in the same bucket'),
    segmentSize: bytes.describe('bytes that are authenticated as one'),
    bytes: bytes.describe('plaintext bytes of the object'),
    indexBytes: bytes.describe('bytes of the index'),
    seconds: z.number().nonnegative(),
    kmsCalls: count,
    etag: z.string().describe('of the object'),
  })
  .describe('The segment index that was made of an object');

/** One object of a listing. */
export interface LsLine {
  key: string;
  storedSize: number;
  plaintextSize: number;
  exact: boolean;
  basis: 'assumed-gcm' | 'gcm' | 'claimed' | 'padding' | 'cbc-bound' | 'plaintext';
  lastModified: string | null;
  etag: string;
  kind?: 'V1' | 'V2' | 'V3' | 'plaintext' | 'instruction-file' | 'directory' | undefined;
  problem?: { code: string; message: string } | undefined;
}

/** `ls`: one line for each object. */
export const ls: z.ZodType<LsLine> = z
  .object({
    key: z.string(),
    storedSize: bytes,
    plaintextSize: bytes.describe(
      'exact, or what basis says: assumed-gcm, storedSize less a tag of 16 bytes, the least that it can be; cbc-bound, the most that it can be',
    ),
    exact: z.boolean(),
    basis: z
      .enum(['assumed-gcm', 'gcm', 'claimed', 'padding', 'cbc-bound', 'plaintext'])
      .describe('what plaintextSize rests on'),
    lastModified: z.iso.datetime().nullable(),
    etag: z.string(),
    kind: z
      .enum(['V1', 'V2', 'V3', 'plaintext', 'instruction-file', 'directory'])
      .optional()
      .describe('what the object is, with --exact'),
    problem: z
      .object({ code: z.string(), message: z.string() })
      .optional()
      .describe('what stood in the way of an exact size, with --exact'),
  })
  .describe('One object of a listing; one line for each');

/** What is known of an object without its key. */
export interface StatDocument {
  bucket: string;
  key: string;
  storedSize: number;
  plaintextSize: number;
  exact: boolean;
  encryption: StatEncryption | null;
  index: { segmentSize: number; state: string } | null;
  sse: StatServerSide | null;
  metadata: Record<string, string>;
  etag: string;
  versionId: string | null;
}

export interface StatEncryption {
  format: 'V1' | 'V2' | 'V3';
  suite: 'AES-256-CBC' | 'AES-256-GCM' | 'AES-256-GCM-HKDF-SHA512-COMMIT';
  wrapping: string;
  storage: 'metadata' | 'instruction-file';
  encryptionContext?: Record<string, string> | undefined;
  materialsDescription?: Record<string, string> | undefined;
  kmsKeyId?: string | undefined;
}

export interface StatServerSide {
  mode: 'SSE-S3' | 'SSE-KMS' | 'DSSE-KMS' | 'SSE-C';
  kmsKeyId?: string | undefined;
  bucketKey?: boolean | undefined;
}

/** `stat`. */
export const stat: z.ZodType<StatDocument> = z
  .object({
    bucket: z.string(),
    key: z.string(),
    storedSize: bytes,
    plaintextSize: bytes,
    exact: z.boolean().describe('false: plaintextSize is an upper bound, up to 15 bytes too large (CBC)'),
    encryption: z
      .object({
        format: z.enum(['V1', 'V2', 'V3']),
        suite: z.enum(['AES-256-CBC', 'AES-256-GCM', 'AES-256-GCM-HKDF-SHA512-COMMIT']),
        wrapping: z.string().describe('how the data key is wrapped'),
        storage: z.enum(['metadata', 'instruction-file']),
        encryptionContext: strings.optional().describe('KMS: what a reader has to give, reserved entries left out'),
        materialsDescription: strings.optional().describe('AES and RSA'),
        kmsKeyId: z.string().optional().describe('where the envelope names it (objects of older writers)'),
      })
      .nullable()
      .describe('client-side encryption; null: none'),
    index: z
      .object({ segmentSize: z.number().int().positive(), state: z.string() })
      .nullable()
      .describe('segment index; null: none'),
    sse: z
      .object({
        mode: z.enum(['SSE-S3', 'SSE-KMS', 'DSSE-KMS', 'SSE-C']),
        kmsKeyId: z.string().optional(),
        bucketKey: z.boolean().optional(),
      })
      .nullable()
      .describe('encryption by S3 itself; null: S3 names none'),
    metadata: strings.describe('user metadata without the envelope'),
    etag: z.string(),
    versionId: z.string().nullable(),
  })
  .describe('Everything about one object that is known without its key');

/** What was deleted. */
export interface RmLine {
  bucket: string;
  deleted: string[];
  companions: string[];
  failed: { key: string; code: string; message: string }[];
}

/** `rm`. */
export const rm: z.ZodType<RmLine> = z
  .object({
    bucket: z.string(),
    deleted: z.array(z.string()).describe('keys, companions included'),
    companions: z.array(z.string()).describe('those among them that were instruction files'),
    failed: z.array(z.object({ key: z.string(), code: z.string(), message: z.string() })),
  })
  .describe('What was deleted; one line for each operand, or each 1 000 objects of a prefix');

/** `mb`. */
export const mb: z.ZodType<{ bucket: string; region: string }> = z
  .object({ bucket: z.string(), region: z.string() })
  .describe('A bucket that was made');

/** `rb`. */
export const rb: z.ZodType<{ bucket: string }> = z.object({ bucket: z.string() }).describe('A bucket that was removed');

/** A running endpoint. */
export interface LocalDocument {
  endpoint: string;
  port: number;
  region: string;
  accountId: string;
  accessKeyId: string;
  secretAccessKey: string;
  dir: string | null;
  control: boolean;
  pid: number;
}

/** `local`: the line that says that it is ready. */
export const local: z.ZodType<LocalDocument> = z
  .object({
    endpoint: z.string().describe('of S3 and KMS'),
    port: z.number().int().positive(),
    region: z.string(),
    accountId: z.string(),
    accessKeyId: z.string(),
    secretAccessKey: z.string().describe('of this endpoint alone, and no secret'),
    dir: z.string().nullable().describe('null: a temporary folder'),
    control: z.boolean(),
    pid: z.number().int().positive(),
  })
  .describe('The endpoint, once it answers');

/** What the demonstration did. */
export interface DemoDocument {
  file: string;
  rows: number | null;
  bytes: number;
  storedSize: number;
  sha256: string;
  parts: number;
  retries: number;
  uploadSeconds: number;
  downloadSeconds: number;
  requests: Record<string, number>;
  kmsCalls: number;
  checks: { check: string; ok: boolean }[];
  ok: boolean;
}

/** `demo`. */
export const demo: z.ZodType<DemoDocument> = z
  .object({
    file: z.string(),
    rows: count.nullable().describe('rows that went through the JSON parser; null: the file went straight'),
    bytes: bytes.describe('plaintext bytes'),
    storedSize: bytes,
    sha256: z.string().describe('of the plaintext'),
    parts: count,
    retries: count,
    uploadSeconds: z.number().nonnegative(),
    downloadSeconds: z.number().nonnegative(),
    requests: z.record(z.string(), count).describe('requests by operation'),
    kmsCalls: count,
    checks: z.array(z.object({ check: z.string(), ok: z.boolean() })),
    ok: z.boolean().describe('whether every check held'),
  })
  .describe('What the demonstration did');

/** Statistics of a column, values as `rows` has them. */
export interface FooterStatistics {
  min?: JsonValue | undefined;
  max?: JsonValue | undefined;
  nullCount?: number | undefined;
  distinctCount?: number | undefined;
}

export interface FooterColumn {
  path: string;
  start: number;
  length: number;
  compression: string;
  statistics: FooterStatistics | null;
}

/** A row group, stripe or record batch. */
export interface FooterGroup {
  rows: number;
  start: number;
  length: number;
  columns: FooterColumn[];
}

/** What the end of a columnar file says. */
export interface FooterDocument {
  format: 'parquet' | 'orc' | 'arrow';
  rows: number;
  groups: FooterGroup[];
  schema: string;
  metadata: Record<string, string>;
}

const value = z.json().optional();

/** `footer`. */
export const footer: z.ZodType<FooterDocument> = z
  .object({
    format: z.enum(['parquet', 'orc', 'arrow']),
    rows: count,
    groups: z
      .array(
        z.object({
          rows: count,
          start: bytes.describe('plaintext offset'),
          length: bytes,
          columns: z.array(
            z.object({
              path: z.string().describe('names joined by dots'),
              start: bytes.describe('plaintext offset'),
              length: bytes,
              compression: z.string(),
              statistics: z
                .object({ min: value, max: value, nullCount: count.optional(), distinctCount: count.optional() })
                .nullable()
                .describe('as far as the file has them; null: none'),
            }),
          ),
        }),
      )
      .describe('row groups, stripes or record batches'),
    schema: z.string().describe("as the format's own tools write it"),
    metadata: strings.describe("the file's own key-value metadata"),
  })
  .describe('What the end of a Parquet, ORC or Arrow file says');

/** `rows`: one line for each row. */
export const rows: z.ZodType<Record<string, JsonValue>> = z
  .record(z.string(), z.json())
  .describe(
    'A row by column names; one line for each. Integers beyond 2^53 and decimals are strings, timestamps ISO 8601 with nanoseconds, bytes base64',
  );

/** A line of `--progress json`. */
export interface ProgressLine {
  bytes: number;
  total?: number | undefined;
  parts: number;
  elapsedMs: number;
}

/** `--progress json`, on stderr. */
export const progress: z.ZodType<ProgressLine> = z
  .object({ bytes, total: bytes.optional(), parts: count, elapsedMs: count })
  .describe('How far a transfer has come');
