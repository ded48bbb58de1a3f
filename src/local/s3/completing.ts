/** CompleteMultipartUpload. */
import { createHash } from 'node:crypto';
import {
  checksumAlgorithms,
  checksumHeader,
  compositeChecksum,
  fullObjectChecksum,
  isChecksumValue,
} from '../../checksums/checksum.ts';
import type { Answer } from '../http/answer.ts';
import { type Bucket, joinSegments, type Upload } from '../storage/bucket.ts';
import type { CompletedUpload, ObjectVersion, StoredChecksum, StoredPart, StoredUpload } from '../storage/records.ts';
import { renderXml, type XmlElement, type XmlNode } from '../xml.ts';
import { findBucket, interpret, nowInSeconds, quoted, readDocument, type S3Call, type S3Service } from './call.ts';
import { checkWrite } from './conditions.ts';
import { encryptionHeaders, readCustomerKey } from './encryption.ts';
import { maximumParts } from './multipart.ts';
import { receiveSmall } from './receive.ts';
import { S3Error } from './s3-error.ts';
import { isVersioned, liveObject, nextVersionId } from './versions.ts';
import { writeConditions } from './writing.ts';

/** A part as the request names it. */
interface NamedPart {
  readonly number: number;
  readonly etag: string;
  /** By header name of the algorithm. */
  readonly checksums: ReadonlyMap<string, string>;
}

function readParts(element: XmlElement): NamedPart[] {
  const parts = element.all('Part').map((part) =>
    interpret(part, (entry) => {
      const number = Number(entry.required('PartNumber'));
      if (!Number.isInteger(number) || number < 1 || number > maximumParts) {
        throw new S3Error('InvalidArgument', {
          message: `PartNumber must be an integer between 1 and ${maximumParts}`,
        });
      }
      const checksums = new Map<string, string>();
      for (const algorithm of checksumAlgorithms) {
        const value = entry.optional(`Checksum${algorithm}`);
        if (value !== undefined && value !== '') checksums.set(algorithm, value);
      }
      return { number, etag: entry.required('ETag').replace(/^"|"$/g, ''), checksums };
    }),
  );
  if (parts.length === 0) throw new S3Error('MalformedXML');
  if (parts.some((part, index) => index > 0 && part.number <= parts[index - 1]!.number))
    throw new S3Error('InvalidPartOrder');
  return parts;
}

function hashParts(parts: readonly NamedPart[]): string {
  return createHash('sha256')
    .update(JSON.stringify(parts.map((part) => [part.number, part.etag])))
    .digest('hex');
}

function matchParts(service: S3Service, upload: Upload, named: readonly NamedPart[]): StoredPart[] {
  const { record } = upload;
  const invalid = (part: NamedPart): S3Error =>
    new S3Error('InvalidPart', { fields: { UploadId: record.id, PartNumber: part.number, ETag: part.etag } });
  return named.map((part, index) => {
    const stored = upload.parts.get(part.number);
    if (stored === undefined || stored.etag !== part.etag) throw invalid(part);
    const algorithm = stored.checksum?.algorithm;
    for (const [name, value] of part.checksums) {
      if (name !== algorithm || value !== stored.checksum?.value) throw invalid(part);
    }
    if (record.checksumAlgorithm !== undefined && record.checksumType === 'COMPOSITE' && part.checksums.size === 0) {
      const name = record.checksumAlgorithm.toLowerCase();
      throw new S3Error('InvalidRequest', {
        message: `The upload was created using a ${name} checksum. The complete request must include the checksum for each part. It was missing for part ${part.number} in the request.`,
      });
    }
    const minimum = service.settings.minimumPartBytes;
    if (index < named.length - 1 && stored.size < minimum) {
      throw new S3Error('EntityTooSmall', {
        fields: { ProposedSize: stored.size, MinSizeAllowed: minimum, PartNumber: part.number, ETag: part.etag },
      });
    }
    return stored;
  });
}

function wholeChecksum(record: StoredUpload, parts: readonly StoredPart[]): StoredChecksum | undefined {
  const { checksumAlgorithm: algorithm, checksumType: type } = record;
  if (algorithm === undefined || type === undefined) return undefined;
  const checksums = parts.map((part) => ({ value: part.checksum!.value, size: part.size }));
  const value =
    type === 'FULL_OBJECT' && algorithm !== 'SHA1' && algorithm !== 'SHA256'
      ? fullObjectChecksum(algorithm, checksums)
      : compositeChecksum(algorithm, checksums);
  return { algorithm, type, value };
}

/** Holds the object to what the request says of the whole of it. */
function checkWhole(call: S3Call, record: StoredUpload, checksum: StoredChecksum | undefined, size: number): void {
  const stated = call.header('x-amz-mp-object-size');
  if (stated !== undefined && Number(stated) !== size) {
    throw new S3Error('InvalidRequest', {
      message: `The provided 'x-amz-mp-object-size' header value ${stated} does not match what was computed: ${size}`,
    });
  }
  const type = call.header('x-amz-checksum-type')?.toUpperCase();
  if (type !== undefined && type !== record.checksumType) {
    throw new S3Error('InvalidRequest', {
      message: `The upload was created using the ${record.checksumType ?? 'null'} checksum mode. The complete request must use the same checksum mode.`,
    });
  }
  for (const algorithm of checksumAlgorithms) {
    const value = call.header(checksumHeader(algorithm));
    if (value === undefined) continue;
    if (checksum === undefined || checksum.algorithm !== algorithm) {
      throw new S3Error('InvalidRequest', {
        message: `The upload was created using a ${record.checksumAlgorithm?.toLowerCase() ?? 'null'} checksum. The complete request must use the same one.`,
      });
    }
    const bare = value.replace(/-\d+$/, '');
    if (!isChecksumValue(algorithm, bare)) {
      throw new S3Error('InvalidRequest', { message: `Value for ${checksumHeader(algorithm)} header is invalid.` });
    }
    if (value !== checksum.value && bare !== checksum.value.replace(/-\d+$/, '')) {
      throw new S3Error('BadDigest', {
        message: `The ${algorithm} you specified did not match the calculated checksum.`,
      });
    }
  }
}

function etagOf(parts: readonly StoredPart[]): string {
  const md5 = createHash('md5');
  for (const part of parts) md5.update(Buffer.from(part.etag, 'hex'));
  return `${md5.digest('hex')}-${parts.length}`;
}

function answer(call: S3Call, bucket: Bucket, version: ObjectVersion): Answer {
  const host = call.header('host') ?? 'localhost';
  const nodes: XmlNode[] = [
    [
      'Location',
      `${call.head.secure ? 'https' : 'http'}://${host}/${bucket.name}/${version.key.split('/').map(encodeURIComponent).join('/')}`,
    ],
    ['Bucket', bucket.name],
    ['Key', version.key],
    ['ETag', quoted(version.etag)],
  ];
  if (version.checksum !== undefined) {
    nodes.push(
      [`Checksum${version.checksum.algorithm}`, version.checksum.value],
      ['ChecksumType', version.checksum.type],
    );
  }
  return {
    status: 200,
    headers: {
      'content-type': 'application/xml',
      ...encryptionHeaders(version.encryption),
      ...(isVersioned(bucket) ? { 'x-amz-version-id': version.versionId } : {}),
    },
    body: renderXml(['CompleteMultipartUploadResult', nodes]),
  };
}

// S3 answers a Complete that it has answered before in the same way: the first answer may not have arrived.
function answerAgain(
  call: S3Call,
  bucket: Bucket,
  completed: CompletedUpload | undefined,
  partsHash: string,
): Answer | undefined {
  if (completed === undefined || completed.key !== call.key || completed.partsHash !== partsHash) return undefined;
  const version = bucket
    .versions(call.key)
    .find((candidate) => candidate.versionId === completed.versionId && candidate.etag === completed.etag);
  return version === undefined ? undefined : answer(call, bucket, version);
}

export async function completeMultipartUpload(service: S3Service, call: S3Call): Promise<Answer> {
  const bucket = findBucket(service, call.bucketName);
  const id = call.query.get('uploadId') ?? '';
  // The checksum headers are of the object, not of this document.
  const bytes = await receiveSmall(call, { ownChecksum: false });
  const named = interpret(readDocument(bytes, 'CompleteMultipartUpload'), readParts);
  const partsHash = hashParts(named);
  const upload = bucket.upload(id);
  if (upload === undefined || upload.record.key !== call.key) {
    const again = answerAgain(call, bucket, bucket.completed(id), partsHash);
    if (again !== undefined) return again;
    throw new S3Error('NoSuchUpload', { fields: { UploadId: id } });
  }
  const { record } = upload;
  readCustomerKey(service, call);
  const parts = matchParts(service, upload, named);
  const checksum = wholeChecksum(record, parts);
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  checkWhole(call, record, checksum, size);
  checkWrite(writeConditions(call), liveObject(bucket, call.key), call.key);
  const version: ObjectVersion = {
    headers: record.headers,
    metadata: record.metadata,
    storageClass: record.storageClass,
    encryption: record.encryption,
    tags: record.tags,
    key: record.key,
    versionId: nextVersionId(bucket),
    modified: nowInSeconds(),
    size,
    etag: etagOf(parts),
    segments: joinSegments(parts),
    parts: parts.map((part) => ({
      number: part.number,
      size: part.size,
      ...(part.checksum === undefined || checksum === undefined ? {} : { checksum: part.checksum.value }),
    })),
    ...(checksum === undefined ? {} : { checksum }),
  };
  bucket.complete(version, { id, key: record.key, partsHash, etag: version.etag, versionId: version.versionId });
  return answer(call, bucket, version);
}
