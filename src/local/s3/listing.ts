/** ListObjects and ListObjectsV2, and what all listings share. */
import type { Answer } from '../http/answer.ts';
import type { Bucket } from '../storage/bucket.ts';
import type { ObjectVersion } from '../storage/records.ts';
import { afterPrefix, fromOrder, toOrder } from '../storage/sorted-keys.ts';
import { renderXml, type XmlNode } from '../xml.ts';
import { findBucket, ownerId, quoted, type S3Call, type S3Service } from './call.ts';
import { S3Error } from './s3-error.ts';

/** A line of a listing: a key, or the keys that share a prefix up to the delimiter. Strings are in order form. */
export interface Line {
  readonly kind: 'key' | 'prefix';
  readonly order: string;
  /** Where the listing goes on after this line; undefined for its end. */
  readonly next: string | undefined;
}

export interface Window {
  readonly prefix: string;
  readonly delimiter: string;
  /** The first that may be listed. */
  readonly start: string;
}

/** The prefix, up to and with the delimiter, under which a key is rolled up; undefined where it is listed itself. */
function rollUpPrefix(order: string, window: Pick<Window, 'prefix' | 'delimiter'>): string | undefined {
  if (window.delimiter === '') return undefined;
  const at = order.indexOf(window.delimiter, window.prefix.length);
  return at < 0 ? undefined : order.slice(0, at + window.delimiter.length);
}

export function* lines(bucket: Bucket, window: Window, accepts: (key: string) => boolean): Generator<Line> {
  let start: string | undefined = window.start > window.prefix ? window.start : window.prefix;
  while (start !== undefined) {
    let restart: string | undefined;
    for (const order of bucket.keys.from(start)) {
      if (!order.startsWith(window.prefix)) return;
      if (!accepts(fromOrder(order))) continue;
      const shared = rollUpPrefix(order, window);
      if (shared === undefined) {
        yield { kind: 'key', order, next: `${order}\0` };
        continue;
      }
      // One search past all keys of the prefix, however many there are.
      restart = afterPrefix(shared);
      yield { kind: 'prefix', order: shared, next: restart };
      break;
    }
    start = restart;
  }
}

/** The first inclusive start after a marker, which may itself be a rolled-up prefix. */
export function afterMarker(marker: string, window: Pick<Window, 'prefix' | 'delimiter'>): string {
  const order = toOrder(marker);
  if (order.startsWith(window.prefix) && rollUpPrefix(order, window) === order) return afterPrefix(order) ?? '\uffff';
  return `${order}\0`;
}

/** A whole number of a query. @throws S3Error InvalidArgument */
export function readCount(call: S3Call, name: string, most: number): number {
  const text = call.query.get(name);
  if (text === undefined || text === '') return most;
  const count = Number(text);
  if (!/^-?\d+$/.test(text) || count > 2 ** 31 - 1) {
    throw new S3Error('InvalidArgument', {
      message: `Provided ${name} not an integer or within integer range`,
      fields: { ArgumentName: name, ArgumentValue: text },
    });
  }
  if (count < 0) {
    throw new S3Error('InvalidArgument', {
      message: `Argument ${name} must be an integer between 0 and 2147483647`,
      fields: { ArgumentName: name, ArgumentValue: text },
    });
  }
  return Math.min(count, most);
}

/** How names are written in an answer: as they are, or as a form would encode them. */
export function nameEncoder(call: S3Call): { encode: (name: string) => string; node: XmlNode } {
  const type = call.query.get('encoding-type');
  if (type !== undefined && type !== 'url') {
    throw new S3Error('InvalidArgument', {
      message: 'Invalid Encoding Method specified in Request',
      fields: { ArgumentName: 'encoding-type', ArgumentValue: type },
    });
  }
  return {
    encode: type === undefined ? (name) => name : formEncode,
    node: ['EncodingType', type],
  };
}

// As Java's URLEncoder does it, with slashes kept: clients undo it with their form decoders.
function formEncode(name: string): string {
  return encodeURIComponent(name)
    .replace(/[!'()~]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(/%20/g, '+')
    .replace(/%2F/g, '/');
}

function contentsNode(service: S3Service, version: ObjectVersion, options: { name: string; owner: boolean }): XmlNode {
  return [
    'Contents',
    [
      ['Key', options.name],
      ['LastModified', new Date(version.modified).toISOString()],
      ['ETag', quoted(version.etag)],
      ['ChecksumAlgorithm', version.checksum?.algorithm],
      ['ChecksumType', version.checksum?.type],
      ['Size', version.size],
      ...(options.owner ? [ownerNode(service)] : []),
      ['StorageClass', version.storageClass],
    ],
  ];
}

export function ownerNode(service: S3Service, name = 'Owner'): XmlNode {
  return [
    name,
    [
      ['ID', ownerId(service.settings)],
      ['DisplayName', 'local'],
    ],
  ];
}

interface Listed {
  readonly keys: readonly string[];
  readonly prefixes: readonly string[];
  /** Where to go on; undefined when all was listed. */
  readonly next: string | undefined;
  readonly last: Line | undefined;
}

function listLive(bucket: Bucket, window: Window, most: number): Listed {
  const keys: string[] = [];
  const prefixes: string[] = [];
  let last: Line | undefined;
  if (most === 0) return { keys, prefixes, next: undefined, last };
  for (const line of lines(bucket, window, (key) => bucket.current(key)?.deleteMarker !== true)) {
    if (keys.length + prefixes.length === most) return { keys, prefixes, next: last?.next, last };
    (line.kind === 'key' ? keys : prefixes).push(fromOrder(line.order));
    last = line;
  }
  return { keys, prefixes, next: undefined, last };
}

export function readWindow(call: S3Call): { prefix: string; delimiter: string } {
  return { prefix: toOrder(call.query.get('prefix') ?? ''), delimiter: toOrder(call.query.get('delimiter') ?? '') };
}

export function xmlAnswer(root: XmlNode, headers: Record<string, string> = {}): Answer {
  return { status: 200, headers: { 'content-type': 'application/xml', ...headers }, body: renderXml(root) };
}

function listedNodes(
  service: S3Service,
  bucket: Bucket,
  listed: Listed,
  options: { encode: (name: string) => string; owner: boolean },
): XmlNode[] {
  return [
    ...listed.keys.map((key) =>
      contentsNode(service, bucket.current(key)!, { name: options.encode(key), owner: options.owner }),
    ),
    ...listed.prefixes.map((prefix): XmlNode => ['CommonPrefixes', [['Prefix', options.encode(prefix)]]]),
  ];
}

export function listObjects(service: S3Service, call: S3Call): Answer {
  const bucket = findBucket(service, call.bucketName);
  const { encode, node } = nameEncoder(call);
  const most = readCount(call, 'max-keys', 1000);
  const window = readWindow(call);
  const marker = call.query.get('marker') ?? '';
  const listed = listLive(bucket, { ...window, start: marker === '' ? '' : afterMarker(marker, window) }, most);
  const delimiter = call.query.get('delimiter');
  const truncated = listed.next !== undefined;
  return xmlAnswer(
    [
      'ListBucketResult',
      [
        ['Name', bucket.name],
        ['Prefix', encode(call.query.get('prefix') ?? '')],
        ['Marker', encode(marker)],
        // Only with a delimiter: without one the last key is the marker, and S3 leaves that to the client.
        [
          'NextMarker',
          truncated && delimiter !== undefined && listed.last !== undefined
            ? encode(fromOrder(listed.last.order))
            : undefined,
        ],
        ['MaxKeys', most],
        ['Delimiter', delimiter === undefined || delimiter === '' ? undefined : encode(delimiter)],
        node,
        ['IsTruncated', truncated],
        ...listedNodes(service, bucket, listed, { encode, owner: true }),
      ],
    ],
    { 'x-amz-bucket-region': bucket.settings.region },
  );
}

function readToken(token: string): string {
  const text = Buffer.from(token, 'base64').toString('utf8');
  if (!text.startsWith('next:')) {
    throw new S3Error('InvalidArgument', {
      message: 'The continuation token provided is incorrect',
      fields: { ArgumentName: 'continuation-token' },
    });
  }
  return text.slice('next:'.length);
}

export function listObjectsV2(service: S3Service, call: S3Call): Answer {
  const bucket = findBucket(service, call.bucketName);
  if (call.query.get('list-type') !== '2') {
    throw new S3Error('InvalidArgument', {
      fields: { ArgumentName: 'list-type', ArgumentValue: call.query.get('list-type') ?? '' },
    });
  }
  const { encode, node } = nameEncoder(call);
  const most = readCount(call, 'max-keys', 1000);
  const window = readWindow(call);
  const token = call.query.get('continuation-token');
  const startAfter = call.query.get('start-after');
  const start =
    token !== undefined
      ? readToken(token)
      : startAfter === undefined || startAfter === ''
        ? ''
        : `${toOrder(startAfter)}\0`;
  const listed = listLive(bucket, { ...window, start }, most);
  const delimiter = call.query.get('delimiter');
  const next = listed.next === undefined ? undefined : Buffer.from(`next:${listed.next}`, 'utf8').toString('base64');
  return xmlAnswer(
    [
      'ListBucketResult',
      [
        ['Name', bucket.name],
        ['Prefix', encode(call.query.get('prefix') ?? '')],
        ['StartAfter', startAfter === undefined ? undefined : encode(startAfter)],
        ['ContinuationToken', token],
        ['NextContinuationToken', next],
        ['KeyCount', listed.keys.length + listed.prefixes.length],
        ['MaxKeys', most],
        ['Delimiter', delimiter === undefined || delimiter === '' ? undefined : encode(delimiter)],
        node,
        ['IsTruncated', listed.next !== undefined],
        ...listedNodes(service, bucket, listed, { encode, owner: call.query.get('fetch-owner') === 'true' }),
      ],
    ],
    { 'x-amz-bucket-region': bucket.settings.region },
  );
}
