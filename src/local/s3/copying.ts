/** CopyObject, and what it shares with UploadPartCopy: the source. */
import { createHash } from 'node:crypto';
import { type ChecksumAlgorithm, createChecksum, isChecksumAlgorithm } from '../../checksums/checksum.ts';
import type { Answer } from '../http/answer.ts';
import { percentDecode, UriProblem } from '../http/request-head.ts';
import type { Segment } from '../storage/blobs.ts';
import type { ObjectVersion, StoredChecksum } from '../storage/records.ts';
import { renderXml, type XmlNode } from '../xml.ts';
import { authorizeCopySource } from './bucket-policy.ts';
import { findBucket, nowInSeconds, quoted, type S3Call, type S3Service } from './call.ts';
import { checkWrite, judgeRead } from './conditions.ts';
import {
  checkReadable,
  copySourceCustomerHeaders,
  encryptionForWrite,
  encryptionHeaders,
  hasContentEtag,
} from './encryption.ts';
import { checkAcl, readHeaders, readStorageClass, readTagging, refuseObjectLock } from './properties.ts';
import { maximumPutBytes } from './receive.ts';
import { S3Error } from './s3-error.ts';
import { findVersion, isVersioned, liveObject, nextVersionId } from './versions.ts';
import { newEtag, writeConditions } from './writing.ts';

export interface CopySource {
  readonly bucketName: string;
  readonly version: ObjectVersion;
  readonly versioned: boolean;
}

/** `x-amz-copy-source`: bucket/key, percent-encoded, with or without a leading slash and a version. */
export function parseCopySource(header: string): { bucket: string; key: string; versionId: string | undefined } {
  const invalid = (): S3Error =>
    new S3Error('InvalidArgument', {
      message: 'Copy Source must mention the source bucket and key: sourcebucket/sourcekey',
      fields: { ArgumentName: 'x-amz-copy-source', ArgumentValue: header },
    });
  if (header.startsWith('arn:')) {
    throw new S3Error('NotImplemented', {
      message: 'A copy from an access point is not implemented by this local endpoint.',
    });
  }
  const mark = header.lastIndexOf('?versionId=');
  const versionId = mark < 0 ? undefined : header.slice(mark + '?versionId='.length);
  let path: string;
  try {
    // Clients that do not encode send UTF-8, which has come in as Latin-1.
    path = percentDecode(Buffer.from(mark < 0 ? header : header.slice(0, mark), 'latin1').toString('utf8'));
  } catch (problem) {
    if (problem instanceof UriProblem) throw invalid();
    throw problem;
  }
  if (path.startsWith('/')) path = path.slice(1);
  const slash = path.indexOf('/');
  if (slash < 1 || slash === path.length - 1) throw invalid();
  return { bucket: path.slice(0, slash), key: path.slice(slash + 1), versionId };
}

/** Finds what is to be copied, and holds the request to its conditions on it. @throws S3Error */
export function findCopySource(service: S3Service, call: S3Call): CopySource {
  const source = parseCopySource(call.header('x-amz-copy-source') ?? '');
  authorizeCopySource(service, call, source);
  const bucket = findBucket(service, source.bucket);
  let version: ObjectVersion;
  try {
    version = findVersion(bucket, source.key, source.versionId);
  } catch (problem) {
    if (!(problem instanceof S3Error) || problem.code !== 'MethodNotAllowed') throw problem;
    throw new S3Error('InvalidRequest', {
      message: 'The source of a copy request may not specifically refer to a delete marker by version id.',
    });
  }
  checkReadable(service, call, version.encryption, copySourceCustomerHeaders);
  const verdict = judgeRead(
    {
      ifMatch: call.header('x-amz-copy-source-if-match'),
      ifNoneMatch: call.header('x-amz-copy-source-if-none-match'),
      ifModifiedSince: call.header('x-amz-copy-source-if-modified-since'),
      ifUnmodifiedSince: call.header('x-amz-copy-source-if-unmodified-since'),
    },
    version,
  );
  if (verdict !== undefined) {
    const condition = verdict === 304 ? 'If-None-Match or If-Modified-Since' : verdict;
    throw new S3Error('PreconditionFailed', { fields: { Condition: `x-amz-copy-source-${condition}` } });
  }
  return { bucketName: source.bucket, version, versioned: isVersioned(bucket) };
}

/** Reads bytes that are on the disk already, for their MD5 and checksum. */
export async function digestSegments(
  service: S3Service,
  segments: readonly Segment[],
  algorithm: ChecksumAlgorithm | undefined,
): Promise<{ md5: Buffer; checksum: string | undefined }> {
  const md5 = createHash('md5');
  const checksum = algorithm === undefined ? undefined : createChecksum(algorithm);
  const reader = service.store.blobs.reader(segments);
  const buffer = Buffer.allocUnsafe(Math.min(reader.length, 1024 * 1024));
  try {
    for (let position = 0; position < reader.length; position += buffer.length) {
      const piece = buffer.subarray(0, Math.min(buffer.length, reader.length - position));
      await reader.read(piece, position);
      md5.update(piece);
      checksum?.update(piece);
    }
  } finally {
    reader.close();
  }
  return { md5: md5.digest(), checksum: checksum?.digest().toString('base64') };
}

function directive(call: S3Call, header: string): 'COPY' | 'REPLACE' {
  const value = call.header(header) ?? 'COPY';
  if (value !== 'COPY' && value !== 'REPLACE') {
    throw new S3Error('InvalidArgument', {
      message: header === 'x-amz-metadata-directive' ? 'Unknown metadata directive.' : 'Unknown tagging directive.',
      fields: { ArgumentName: header, ArgumentValue: value },
    });
  }
  return value;
}

/** A checksum algorithm that a header asks for. @throws S3Error */
export function requestedAlgorithm(call: S3Call): ChecksumAlgorithm | undefined {
  const name = call.header('x-amz-checksum-algorithm')?.toUpperCase();
  if (name === undefined || isChecksumAlgorithm(name)) return name;
  if (/^(SHA512|MD5|XXHASH\d+)$/.test(name)) {
    throw new S3Error('NotImplemented', { message: `The checksum ${name} is not implemented by this local endpoint.` });
  }
  throw new S3Error('InvalidRequest', {
    message:
      'Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]',
  });
}

function changesNothing(call: S3Call, source: CopySource): boolean {
  if (source.bucketName !== call.bucketName || source.version.key !== call.key) return false;
  if (call.header('x-amz-copy-source')?.includes('?versionId=') === true) return false;
  if (call.header('x-amz-metadata-directive') === 'REPLACE' || call.header('x-amz-tagging-directive') === 'REPLACE')
    return false;
  return ![...call.headers.keys()].some(
    (name) =>
      name.startsWith('x-amz-server-side-encryption') ||
      name === 'x-amz-storage-class' ||
      name === 'x-amz-website-redirect-location',
  );
}

async function copiedBytes(
  service: S3Service,
  call: S3Call,
  source: ObjectVersion,
  contentEtag: boolean,
): Promise<{ etag: string | undefined; checksum: StoredChecksum | undefined }> {
  const algorithm = requestedAlgorithm(call) ?? source.checksum?.algorithm;
  const sameChecksum = source.checksum?.type === 'FULL_OBJECT' && source.checksum.algorithm === algorithm;
  // Of an object that came in one piece everything is known; one that came in parts gets the ETag of a whole.
  const sameEtag = source.parts === undefined && hasContentEtag(source.encryption);
  if ((sameChecksum || algorithm === undefined) && (sameEtag || !contentEtag)) {
    return {
      etag: sameEtag && contentEtag ? source.etag : undefined,
      checksum: sameChecksum ? source.checksum : undefined,
    };
  }
  const { md5, checksum } = await digestSegments(service, source.segments, sameChecksum ? undefined : algorithm);
  return {
    etag: contentEtag ? md5.toString('hex') : undefined,
    checksum:
      sameChecksum || algorithm === undefined || checksum === undefined
        ? source.checksum
        : { algorithm, type: 'FULL_OBJECT', value: checksum },
  };
}

export async function copyObject(service: S3Service, call: S3Call): Promise<Answer> {
  checkAcl(call);
  refuseObjectLock(call);
  findBucket(service, call.bucketName);
  const source = findCopySource(service, call);
  const { version } = source;
  if (changesNothing(call, source)) {
    throw new S3Error('InvalidRequest', {
      message:
        "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
    });
  }
  if (version.size > maximumPutBytes) {
    throw new S3Error('InvalidRequest', {
      message: `The specified copy source is larger than the maximum allowable size for a copy source: ${maximumPutBytes}`,
    });
  }
  const properties =
    directive(call, 'x-amz-metadata-directive') === 'COPY'
      ? { headers: version.headers, metadata: version.metadata }
      : readHeaders(call);
  const tags = directive(call, 'x-amz-tagging-directive') === 'COPY' ? version.tags : readTagging(call);
  const storageClass = readStorageClass(call);
  const check = (): void => {
    checkWrite(writeConditions(call), liveObject(findBucket(service, call.bucketName), call.key), call.key);
  };
  check();
  const encryption = encryptionForWrite(service, call, findBucket(service, call.bucketName));
  // Held while it is read, as it may be overwritten meanwhile.
  service.store.blobs.retain(version.segments);
  try {
    const { etag, checksum } = await copiedBytes(
      service,
      call,
      version,
      hasContentEtag(encryption) && service.settings.etags === 'md5',
    );
    check();
    const bucket = findBucket(service, call.bucketName);
    const copy: ObjectVersion = {
      ...properties,
      storageClass,
      encryption,
      tags,
      key: call.key,
      versionId: nextVersionId(bucket),
      modified: nowInSeconds(),
      size: version.size,
      etag: etag ?? newEtag(encryption, undefined),
      segments: version.segments,
      ...(checksum === undefined ? {} : { checksum }),
    };
    bucket.put(copy);
    return copyAnswer(source, copy, { versioned: isVersioned(bucket) });
  } finally {
    service.store.blobs.release(version.segments);
  }
}

function copyAnswer(source: CopySource, copy: ObjectVersion, options: { readonly versioned: boolean }): Answer {
  const nodes: XmlNode[] = [
    ['LastModified', new Date(copy.modified).toISOString()],
    ['ETag', quoted(copy.etag)],
    ['ChecksumType', copy.checksum?.type],
  ];
  if (copy.checksum !== undefined) nodes.push([`Checksum${copy.checksum.algorithm}`, copy.checksum.value]);
  return {
    status: 200,
    headers: {
      'content-type': 'application/xml',
      ...encryptionHeaders(copy.encryption, { context: true }),
      ...(source.versioned ? { 'x-amz-copy-source-version-id': source.version.versionId } : {}),
      ...(options.versioned ? { 'x-amz-version-id': copy.versionId } : {}),
    },
    body: renderXml(['CopyObjectResult', nodes]),
  };
}
