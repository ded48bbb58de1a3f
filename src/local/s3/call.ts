/** One request to S3, as the operations see it. */
import type { Identity } from '../auth/authenticator.ts';
import type { RequestBody } from '../http/request-body.ts';
import type { RequestHead } from '../http/request-head.ts';
import type { KmsKeys } from '../kms/keys.ts';
import type { Bucket } from '../storage/bucket.ts';
import type { BucketStore } from '../storage/store.ts';
import { parseXml, type XmlElement, XmlProblem } from '../xml.ts';
import { receiveSmall } from './receive.ts';
import { S3Error } from './s3-error.ts';

/** How this endpoint differs from S3, and on whose account it is. */
export interface S3Settings {
  readonly accountId: string;
  readonly region: string;
  /** Bytes that every part but the last must have. */
  readonly minimumPartBytes: number;
  /** Return metadata as the bytes that came, as stores other than S3 do. */
  readonly rawMetadata: boolean;
  /** Make ETags from the content, or at random, which saves the MD5. */
  readonly etags: 'md5' | 'random';
  /** Compute CRC64NVME of what comes without a checksum, as S3 does. */
  readonly defaultChecksum: boolean;
  /** Take SSE-C keys over plain HTTP from this machine. */
  readonly allowInsecureLoopback: boolean;
  /** Make new buckets refuse SSE-C, as S3's do since April 2026. */
  readonly blockSseC: boolean;
}

export interface S3Service {
  readonly store: BucketStore;
  readonly settings: S3Settings;
  readonly kms: KmsKeys;
}

export class S3Call {
  readonly head: RequestHead;
  readonly bucketName: string;
  readonly key: string;
  readonly query: ReadonlyMap<string, string>;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: RequestBody;
  readonly identity: Identity;

  constructor(options: {
    readonly head: RequestHead;
    readonly bucketName: string;
    readonly key: string;
    readonly body: RequestBody;
    readonly identity: Identity;
  }) {
    const { head, identity } = options;
    this.head = head;
    this.bucketName = options.bucketName;
    this.key = options.key;
    this.body = options.body;
    this.identity = identity;
    this.query = new Map(head.parameters);
    this.headers = identity.presigned ? withHoistedHeaders(head) : head.headers;
  }

  header(name: string): string | undefined {
    return this.headers.get(name);
  }

  /** Unparsed `true`, for headers that say yes or no. */
  flag(name: string): boolean {
    return this.header(name)?.toLowerCase() === 'true';
  }

  /** The document in the body. @throws S3Error MalformedXML */
  async document(root: string): Promise<XmlElement> {
    const bytes = await receiveSmall(this);
    return readDocument(bytes, root);
  }
}

/** @throws S3Error MalformedXML */
export function readDocument(bytes: Buffer, root: string): XmlElement {
  try {
    return parseXml(bytes.toString('utf8'), root);
  } catch (problem) {
    if (problem instanceof XmlProblem) throw new S3Error('MalformedXML', { cause: problem });
    throw problem;
  }
}

/** Reads a document with `read`; what it cannot make sense of, and what it left unread, is MalformedXML or refused by name. */
export function interpret<Value>(element: XmlElement, read: (element: XmlElement) => Value): Value {
  let value: Value;
  try {
    value = read(element);
  } catch (problem) {
    if (problem instanceof XmlProblem) throw new S3Error('MalformedXML', { cause: problem });
    throw problem;
  }
  const unread = element.unread();
  if (unread.length > 0) {
    throw new S3Error('NotImplemented', {
      message: `${unread.join(', ')} in ${element.name} is not implemented by this local endpoint.`,
    });
  }
  return value;
}

// A presigner may move x-amz- headers into the query, where they mean the same.
function withHoistedHeaders(head: RequestHead): ReadonlyMap<string, string> {
  const headers = new Map(head.headers);
  for (const [name, value] of head.parameters) {
    const lower = name.toLowerCase();
    if (lower.startsWith('x-amz-') && !headers.has(lower))
      headers.set(lower, Buffer.from(value, 'utf8').toString('latin1'));
  }
  return headers;
}

/** @throws S3Error NoSuchBucket */
export function findBucket(service: S3Service, name: string): Bucket {
  const bucket = service.store.get(name);
  if (bucket === undefined) throw new S3Error('NoSuchBucket', { fields: { BucketName: name } });
  return bucket;
}

/** Now, as S3 keeps times. */
export function nowInSeconds(): number {
  return Math.floor(Date.now() / 1000) * 1000;
}

/** The canonical user id that owns everything here: 64 hex digits, made from the account. */
export function ownerId(settings: Pick<S3Settings, 'accountId'>): string {
  return Buffer.from(`sealpipe local ${settings.accountId}`.padEnd(32, '.')).toString('hex').slice(0, 64);
}

export function quoted(etag: string): string {
  return `"${etag}"`;
}
