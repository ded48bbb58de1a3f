/** GetObject, HeadObject and GetObjectAttributes. */
import { checksumHeader } from '../../checksums/checksum.ts';
import type { Answer } from '../http/answer.ts';
import { sliceSegments } from '../storage/blobs.ts';
import type { ObjectVersion, PartOfObject } from '../storage/records.ts';
import { renderXml, type XmlNode } from '../xml.ts';
import { findBucket, type S3Call, type S3Service } from './call.ts';
import { judgeRead } from './conditions.ts';
import { checkReadable, encryptionHeaders } from './encryption.ts';
import { checksumHeaders, describingHeaders } from './properties.ts';
import { type ByteRange, contentRange, readRange } from './ranges.ts';
import { S3Error } from './s3-error.ts';
import { findVersion, isVersioned } from './versions.ts';

/** Which bytes of a version a request reads. */
interface Extent {
  readonly range: ByteRange;
  readonly partial: boolean;
  readonly part?: PartOfObject | undefined;
}

function partExtent(version: ObjectVersion, text: string): Extent {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1 || number > 10_000) {
    throw new S3Error('InvalidArgument', {
      message: 'Part number must be an integer between 1 and 10000, inclusive',
      fields: { ArgumentName: 'partNumber', ArgumentValue: text },
    });
  }
  // An object that came in one piece has one part; one that came in parts counts them anew, without gaps.
  const parts: readonly PartOfObject[] = version.parts ?? [{ number: 1, size: version.size }];
  const part = parts[number - 1];
  if (part === undefined) {
    throw new S3Error('InvalidPartNumber', {
      fields: { ActualPartCount: parts.length, PartNumberRequested: number },
    });
  }
  const start = parts.slice(0, number - 1).reduce((sum, before) => sum + before.size, 0);
  return { range: { start, end: start + part.size }, partial: part.size > 0, part };
}

function readExtent(call: S3Call, version: ObjectVersion): Extent {
  const range = call.header('range');
  const part = call.query.get('partNumber');
  if (part !== undefined) {
    if (range !== undefined) {
      throw new S3Error('InvalidRequest', {
        message: 'Cannot specify both Range header and partNumber query parameter',
      });
    }
    return partExtent(version, part);
  }
  const wanted = readRange(range, version.size);
  if (wanted === 'unsatisfiable') {
    throw new S3Error('InvalidRange', {
      fields: { RangeRequested: range ?? '', ActualObjectSize: version.size },
      headers: { 'content-range': `bytes */${version.size}` },
    });
  }
  if (wanted === 'whole') return { range: { start: 0, end: version.size }, partial: false };
  return { range: wanted, partial: true };
}

function partChecksumHeaders(version: ObjectVersion, part: PartOfObject): Record<string, string> {
  if (version.checksum === undefined || part.checksum === undefined) return {};
  return { [checksumHeader(version.checksum.algorithm)]: part.checksum, 'x-amz-checksum-type': version.checksum.type };
}

function extentHeaders(call: S3Call, version: ObjectVersion, extent: Extent): Record<string, string> {
  const headers: Record<string, string> = {};
  if (extent.partial) headers['content-range'] = contentRange(extent.range, version.size);
  if (extent.part !== undefined && version.parts !== undefined) {
    headers['x-amz-mp-parts-count'] = String(version.parts.length);
  }
  if (call.header('x-amz-checksum-mode')?.toUpperCase() !== 'ENABLED') return headers;
  // The checksum is of the whole: a range has none, unless it is a part.
  if (!extent.partial) Object.assign(headers, checksumHeaders(version));
  else if (extent.part !== undefined) {
    const ofPart = version.parts === undefined ? checksumHeaders(version) : partChecksumHeaders(version, extent.part);
    Object.assign(headers, ofPart);
  }
  return headers;
}

function overrides(call: S3Call): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of call.query) {
    if (name.startsWith('response-'))
      headers[name.slice('response-'.length)] = Buffer.from(value, 'utf8').toString('latin1');
  }
  return headers;
}

/** Finds what a request reads, and holds the request to its conditions. */
function prepare(
  service: S3Service,
  call: S3Call,
): { version: ObjectVersion; headers: Record<string, string>; notModified: boolean } {
  const bucket = findBucket(service, call.bucketName);
  const version = findVersion(bucket, call.key, call.query.get('versionId'));
  checkReadable(service, call, version.encryption);
  const headers = {
    ...describingHeaders(service, version, { versioned: isVersioned(bucket) }),
    ...encryptionHeaders(version.encryption),
  };
  const verdict = judgeRead(
    {
      ifMatch: call.header('if-match'),
      ifNoneMatch: call.header('if-none-match'),
      ifModifiedSince: call.header('if-modified-since'),
      ifUnmodifiedSince: call.header('if-unmodified-since'),
    },
    version,
  );
  if (typeof verdict === 'string') throw new S3Error('PreconditionFailed', { fields: { Condition: verdict } });
  return { version, headers, notModified: verdict === 304 };
}

function notModified(headers: Record<string, string>): Answer {
  const kept = ['etag', 'last-modified', 'cache-control', 'expires', 'x-amz-version-id'];
  return { status: 304, headers: Object.fromEntries(Object.entries(headers).filter(([name]) => kept.includes(name))) };
}

export function getObject(service: S3Service, call: S3Call): Answer {
  const { version, headers, notModified: unchanged } = prepare(service, call);
  if (unchanged) return notModified(headers);
  const extent = readExtent(call, version);
  const { start, end } = extent.range;
  return {
    status: extent.partial ? 206 : 200,
    headers: { ...headers, ...extentHeaders(call, version, extent), ...overrides(call) },
    body: service.store.blobs.reader(sliceSegments(version.segments, start, end)),
  };
}

export function headObject(service: S3Service, call: S3Call): Answer {
  const { version, headers, notModified: unchanged } = prepare(service, call);
  if (unchanged) return notModified(headers);
  const extent = readExtent(call, version);
  return {
    status: extent.partial ? 206 : 200,
    headers: { ...headers, ...extentHeaders(call, version, extent), ...overrides(call) },
    headLength: extent.range.end - extent.range.start,
  };
}

const attributeNames = ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize'];

function objectParts(call: S3Call, version: ObjectVersion): XmlNode | undefined {
  if (version.parts === undefined) return undefined;
  const algorithm = version.checksum?.algorithm;
  const marker = Number(call.header('x-amz-part-number-marker') ?? 0);
  const most = Math.min(1000, Number(call.header('x-amz-max-parts') ?? 1000));
  const numbered = version.parts.map((part, index) => ({ ...part, number: index + 1 }));
  const shown = numbered.filter((part) => part.number > marker).slice(0, most);
  const last = shown.at(-1)?.number ?? marker;
  return [
    'ObjectParts',
    [
      ['PartsCount', version.parts.length],
      ['PartNumberMarker', marker],
      ['NextPartNumberMarker', last],
      ['MaxParts', most],
      ['IsTruncated', last < version.parts.length],
      // S3 lists the parts one by one only where they have checksums.
      ...(algorithm === undefined
        ? []
        : shown.map(
            (part): XmlNode => [
              'Part',
              [
                ['PartNumber', part.number],
                ['Size', part.size],
                [`Checksum${algorithm}`, part.checksum],
              ],
            ],
          )),
    ],
  ];
}

export function getObjectAttributes(service: S3Service, call: S3Call): Answer {
  const bucket = findBucket(service, call.bucketName);
  const version = findVersion(bucket, call.key, call.query.get('versionId'));
  checkReadable(service, call, version.encryption);
  const wanted = (call.header('x-amz-object-attributes') ?? '').split(',').map((name) => name.trim());
  if (wanted.some((name) => !attributeNames.includes(name))) {
    throw new S3Error('InvalidArgument', { message: 'Invalid attribute name specified.' });
  }
  const { checksum } = version;
  const nodes: Readonly<Record<string, XmlNode | undefined>> = {
    ETag: ['ETag', version.etag],
    Checksum:
      checksum === undefined
        ? undefined
        : [
            'Checksum',
            [
              [`Checksum${checksum.algorithm}`, checksum.value],
              ['ChecksumType', checksum.type],
            ],
          ],
    ObjectParts: objectParts(call, version),
    StorageClass: ['StorageClass', version.storageClass],
    ObjectSize: ['ObjectSize', version.size],
  };
  const chosen = attributeNames.filter((name) => wanted.includes(name)).map((name) => nodes[name]);
  return {
    status: 200,
    headers: {
      'content-type': 'application/xml',
      'last-modified': new Date(version.modified).toUTCString(),
      ...(isVersioned(bucket) ? { 'x-amz-version-id': version.versionId } : {}),
    },
    body: renderXml(['GetObjectAttributesResponse', chosen]),
  };
}
