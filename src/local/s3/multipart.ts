/** CreateMultipartUpload, UploadPart, UploadPartCopy and AbortMultipartUpload. */
import { randomBytes } from 'node:crypto';
import type { ChecksumAlgorithm, ChecksumType } from '../../checksums/checksum.ts';
import { checksumHeader } from '../../checksums/checksum.ts';
import type { Answer } from '../http/answer.ts';
import { sliceSegments } from '../storage/blobs.ts';
import type { Bucket, Upload } from '../storage/bucket.ts';
import type { StoredPart, StoredUpload } from '../storage/records.ts';
import { renderXml, type XmlNode } from '../xml.ts';
import { findBucket, nowInSeconds, quoted, type S3Call, type S3Service } from './call.ts';
import { digestSegments, findCopySource, requestedAlgorithm } from './copying.ts';
import { checkPartEncryption, encryptionHeaders, hasContentEtag } from './encryption.ts';
import { readCopyRange } from './ranges.ts';
import { maximumPutBytes, promisedChecksum, receiveBody } from './receive.ts';
import { S3Error } from './s3-error.ts';
import { newEtag, readProperties } from './writing.ts';

export const maximumParts = 10_000;

/** @throws S3Error NoSuchUpload */
export function findUpload(service: S3Service, call: S3Call): { bucket: Bucket; upload: Upload } {
  const bucket = findBucket(service, call.bucketName);
  const id = call.query.get('uploadId') ?? '';
  const upload = bucket.upload(id);
  if (upload === undefined || upload.record.key !== call.key)
    throw new S3Error('NoSuchUpload', { fields: { UploadId: id } });
  return { bucket, upload };
}

function readChecksumType(call: S3Call, algorithm: ChecksumAlgorithm | undefined): ChecksumType | undefined {
  const type = call.header('x-amz-checksum-type')?.toUpperCase();
  if (type === undefined) {
    if (algorithm === undefined) return undefined;
    return algorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE';
  }
  if (algorithm === undefined) {
    throw new S3Error('InvalidRequest', {
      message: 'The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.',
    });
  }
  if (type !== 'COMPOSITE' && type !== 'FULL_OBJECT') {
    throw new S3Error('InvalidRequest', { message: 'Value for x-amz-checksum-type header is invalid.' });
  }
  const impossible = type === 'FULL_OBJECT' ? algorithm.startsWith('SHA') : algorithm === 'CRC64NVME';
  if (impossible) {
    throw new S3Error('InvalidRequest', {
      message: `The ${type} checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm.`,
    });
  }
  return type;
}

export function createMultipartUpload(service: S3Service, call: S3Call): Answer {
  const bucket = findBucket(service, call.bucketName);
  const algorithm = requestedAlgorithm(call);
  const type = readChecksumType(call, algorithm);
  const record: StoredUpload = {
    ...readProperties(service, call),
    id: randomBytes(48).toString('base64url'),
    key: call.key,
    initiated: Date.now(),
    ...(algorithm === undefined || type === undefined ? {} : { checksumAlgorithm: algorithm, checksumType: type }),
  };
  bucket.createUpload(record);
  return {
    status: 200,
    headers: {
      'content-type': 'application/xml',
      ...encryptionHeaders(record.encryption, { context: true }),
      ...(algorithm === undefined || type === undefined
        ? {}
        : { 'x-amz-checksum-algorithm': algorithm, 'x-amz-checksum-type': type }),
    },
    body: renderXml([
      'InitiateMultipartUploadResult',
      [
        ['Bucket', bucket.name],
        ['Key', record.key],
        ['UploadId', record.id],
      ],
    ]),
  };
}

function readPartNumber(call: S3Call): number {
  const text = call.query.get('partNumber') ?? '';
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= 1 && number <= maximumParts) return number;
  throw new S3Error('InvalidArgument', {
    message: `Part number must be an integer between 1 and ${maximumParts}, inclusive`,
    fields: { ArgumentName: 'partNumber', ArgumentValue: text },
  });
}

// S3's own words, which name no algorithm as null.
function checkPartAlgorithm(upload: StoredUpload, given: ChecksumAlgorithm | undefined): void {
  const expected = upload.checksumAlgorithm;
  // Without an algorithm at Create S3 has answered differently over the years; taken here, checked, and not part of the object.
  if (expected === undefined || given === expected) return;
  if (given === undefined && upload.checksumType === 'FULL_OBJECT') return;
  throw new S3Error('InvalidRequest', {
    message: `Checksum Type mismatch occurred, expected checksum Type: ${expected.toLowerCase()}, actual checksum Type: ${given?.toLowerCase() ?? 'null'}`,
  });
}

export async function uploadPart(service: S3Service, call: S3Call): Promise<Answer> {
  const number = readPartNumber(call);
  const { upload } = findUpload(service, call);
  const { record } = upload;
  checkPartEncryption(service, call, record.encryption);
  checkPartAlgorithm(record, promisedChecksum(call)?.algorithm);
  const received = await receiveBody(service, call, { algorithm: record.checksumAlgorithm });
  const { checksum } = received;
  let part: StoredPart;
  try {
    // Aborted or completed while the part was under way: it must not be added to anything.
    const { bucket } = findUpload(service, call);
    part = {
      number,
      modified: nowInSeconds(),
      size: received.size,
      etag: newEtag(record.encryption, received.md5),
      segments: received.segments,
      ...(checksum === undefined ? {} : { checksum: { algorithm: checksum.algorithm, value: checksum.value } }),
    };
    bucket.putPart(record.id, part);
  } catch (problem) {
    await received.discard();
    throw problem;
  }
  return {
    status: 200,
    headers: {
      etag: quoted(part.etag),
      ...(checksum?.promised === true ? { [checksumHeader(checksum.algorithm)]: checksum.value } : {}),
      ...encryptionHeaders(record.encryption),
    },
  };
}

export async function uploadPartCopy(service: S3Service, call: S3Call): Promise<Answer> {
  const number = readPartNumber(call);
  const { upload } = findUpload(service, call);
  const { record } = upload;
  checkPartEncryption(service, call, record.encryption);
  const source = findCopySource(service, call);
  const { version } = source;
  const header = call.header('x-amz-copy-source-range');
  const range = header === undefined ? { start: 0, end: version.size } : readCopyRange(header, version.size);
  if (range === undefined) {
    throw new S3Error('InvalidArgument', {
      message: `Range specified is not valid for source object of size: ${version.size}`,
      fields: { ArgumentName: 'x-amz-copy-source-range', ArgumentValue: header ?? '' },
    });
  }
  if (range.end - range.start > maximumPutBytes) {
    throw new S3Error('InvalidRequest', {
      message: `The specified copy source is larger than the maximum allowable size for a copy source: ${maximumPutBytes}`,
    });
  }
  const segments = sliceSegments(version.segments, range.start, range.end);
  service.store.blobs.retain(segments);
  try {
    const needsMd5 = service.settings.etags === 'md5' && hasContentEtag(record.encryption);
    const digests =
      needsMd5 || record.checksumAlgorithm !== undefined
        ? await digestSegments(service, segments, record.checksumAlgorithm)
        : undefined;
    const { bucket } = findUpload(service, call);
    const value = digests?.checksum;
    const part: StoredPart = {
      number,
      modified: nowInSeconds(),
      size: range.end - range.start,
      etag: newEtag(record.encryption, needsMd5 ? digests?.md5 : undefined),
      segments,
      ...(record.checksumAlgorithm === undefined || value === undefined
        ? {}
        : { checksum: { algorithm: record.checksumAlgorithm, value } }),
    };
    bucket.putPart(record.id, part);
    const nodes: XmlNode[] = [
      ['LastModified', new Date(part.modified).toISOString()],
      ['ETag', quoted(part.etag)],
    ];
    if (part.checksum !== undefined) nodes.push([`Checksum${part.checksum.algorithm}`, part.checksum.value]);
    return {
      status: 200,
      headers: {
        'content-type': 'application/xml',
        ...encryptionHeaders(record.encryption),
        ...(source.versioned ? { 'x-amz-copy-source-version-id': version.versionId } : {}),
      },
      body: renderXml(['CopyPartResult', nodes]),
    };
  } finally {
    service.store.blobs.release(segments);
  }
}

export function abortMultipartUpload(service: S3Service, call: S3Call): Answer {
  const { bucket, upload } = findUpload(service, call);
  bucket.abort(upload.record.id);
  return { status: 204 };
}
