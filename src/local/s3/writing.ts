/** PutObject, DeleteObject and DeleteObjects. */
import { randomBytes } from 'node:crypto';
import type { Answer } from '../http/answer.ts';
import type { ObjectVersion, StoredEncryption } from '../storage/records.ts';
import { renderXml, type XmlElement, type XmlNode } from '../xml.ts';
import { mayDelete } from './bucket-policy.ts';
import { findBucket, interpret, nowInSeconds, quoted, readDocument, type S3Call, type S3Service } from './call.ts';
import { checkWrite, etagMatches } from './conditions.ts';
import { encryptionForWrite, encryptionHeaders, hasContentEtag } from './encryption.ts';
import {
  checkAcl,
  checksumHeaders,
  readHeaders,
  readStorageClass,
  readTagging,
  refuseObjectLock,
} from './properties.ts';
import { receiveBody, receiveSmall } from './receive.ts';
import { S3Error } from './s3-error.ts';
import { type Deleted, deleteVersion, isVersioned, liveObject, nextVersionId } from './versions.ts';

export const maximumKeyBytes = 1024;

/** The two conditions of a write. */
export function writeConditions(call: S3Call): {
  readonly ifMatch: string | undefined;
  readonly ifNoneMatch: string | undefined;
} {
  return { ifMatch: call.header('if-match'), ifNoneMatch: call.header('if-none-match') };
}

/** The ETag of new bytes: their MD5, but under KMS or a customer's key something that nobody can compute. */
export function newEtag(encryption: StoredEncryption, md5: Buffer | undefined): string {
  const fromContent = md5 !== undefined && hasContentEtag(encryption);
  return fromContent ? md5.toString('hex') : randomBytes(16).toString('hex');
}

/** Everything that a request says about its object, before the bytes. */
export function readProperties(
  service: S3Service,
  call: S3Call,
): Pick<ObjectVersion, 'headers' | 'metadata' | 'storageClass' | 'encryption' | 'tags'> {
  checkAcl(call);
  refuseObjectLock(call);
  return {
    ...readHeaders(call),
    storageClass: readStorageClass(call),
    encryption: encryptionForWrite(service, call, findBucket(service, call.bucketName)),
    tags: readTagging(call),
  };
}

/** What an answer to a write says of the new version. */
function writtenHeaders(version: ObjectVersion, options: { readonly versioned: boolean }): Record<string, string> {
  return {
    etag: quoted(version.etag),
    ...checksumHeaders(version),
    ...encryptionHeaders(version.encryption, { context: true }),
    ...(options.versioned ? { 'x-amz-version-id': version.versionId } : {}),
  };
}

export async function putObject(service: S3Service, call: S3Call): Promise<Answer> {
  const properties = readProperties(service, call);
  // Once before the bytes, so that nobody sends them for nothing, and once with the change, where it counts.
  const check = (): void => {
    checkWrite(writeConditions(call), liveObject(findBucket(service, call.bucketName), call.key), call.key);
  };
  check();
  const received = await receiveBody(service, call, {
    algorithm: service.settings.defaultChecksum ? 'CRC64NVME' : undefined,
  });
  try {
    check();
    const bucket = findBucket(service, call.bucketName);
    const { checksum } = received;
    const version: ObjectVersion = {
      ...properties,
      key: call.key,
      versionId: nextVersionId(bucket),
      modified: nowInSeconds(),
      size: received.size,
      etag: newEtag(properties.encryption, received.md5),
      segments: received.segments,
      ...(checksum === undefined
        ? {}
        : { checksum: { algorithm: checksum.algorithm, type: 'FULL_OBJECT', value: checksum.value } }),
    };
    bucket.put(version);
    return { status: 200, headers: writtenHeaders(version, { versioned: isVersioned(bucket) }) };
  } catch (problem) {
    await received.discard();
    throw problem;
  }
}

function deletedHeaders(bucketVersioned: boolean, deleted: Deleted): Record<string, string> {
  if (!bucketVersioned || deleted.versionId === undefined) return {};
  return {
    'x-amz-version-id': deleted.versionId,
    ...(deleted.deleteMarker ? { 'x-amz-delete-marker': 'true' } : {}),
  };
}

export function deleteObject(service: S3Service, call: S3Call): Answer {
  const bucket = findBucket(service, call.bucketName);
  const ifMatch = call.header('if-match');
  const live = liveObject(bucket, call.key);
  if (ifMatch !== undefined) {
    if (live === undefined) throw new S3Error('NoSuchKey', { fields: { Key: call.key } });
    if (!etagMatches(ifMatch, live.etag))
      throw new S3Error('PreconditionFailed', { fields: { Condition: 'If-Match' } });
  }
  const deleted = deleteVersion(bucket, call.key, call.query.get('versionId'));
  return { status: 204, headers: deletedHeaders(isVersioned(bucket), deleted) };
}

interface Deletion {
  readonly key: string;
  readonly versionId: string | undefined;
  readonly etag: string | undefined;
}

function readDeletions(element: XmlElement): { deletions: Deletion[]; quiet: boolean } {
  const deletions = element.all('Object').map((object) =>
    interpret(object, (entry) => ({
      key: entry.required('Key'),
      versionId: entry.optional('VersionId'),
      etag: entry.optional('ETag'),
    })),
  );
  if (deletions.length < 1 || deletions.length > 1000 || deletions.some(({ key }) => key === '')) {
    throw new S3Error('MalformedXML');
  }
  return { deletions, quiet: element.optional('Quiet') === 'true' };
}

function deleteOne(service: S3Service, call: S3Call, deletion: Deletion): XmlNode {
  const bucket = findBucket(service, call.bucketName);
  const identity: XmlNode[] = [['Key', deletion.key]];
  if (deletion.versionId !== undefined) identity.push(['VersionId', deletion.versionId]);
  const failed = (error: S3Error): XmlNode => [
    'Error',
    [...identity, ['Code', error.code], ['Message', error.message]],
  ];
  if (!mayDelete(service, call, deletion)) return failed(new S3Error('AccessDenied'));
  if (deletion.etag !== undefined) {
    const live = liveObject(bucket, deletion.key);
    if (live === undefined) return failed(new S3Error('NoSuchKey'));
    if (!etagMatches(deletion.etag, live.etag)) return failed(new S3Error('PreconditionFailed'));
  }
  const deleted = deleteVersion(bucket, deletion.key, deletion.versionId);
  const marker: XmlNode[] =
    isVersioned(bucket) && deleted.deleteMarker
      ? [
          ['DeleteMarker', true],
          ['DeleteMarkerVersionId', deleted.versionId],
        ]
      : [];
  return ['Deleted', [...identity, ...marker]];
}

export async function deleteObjects(service: S3Service, call: S3Call): Promise<Answer> {
  findBucket(service, call.bucketName);
  const bytes = await receiveSmall(call);
  const protectedBy = [...call.headers.keys()].some(
    (name) => name === 'content-md5' || name.startsWith('x-amz-checksum-'),
  );
  if (!protectedBy && call.header('x-amz-trailer') === undefined) {
    throw new S3Error('InvalidRequest', {
      message: 'Missing required header for this request: Content-MD5 OR x-amz-checksum-*',
    });
  }
  const { deletions, quiet } = interpret(readDocument(bytes, 'Delete'), readDeletions);
  const results = deletions.map((deletion) => deleteOne(service, call, deletion));
  return {
    status: 200,
    headers: { 'content-type': 'application/xml' },
    body: renderXml(['DeleteResult', quiet ? results.filter(([name]) => name === 'Error') : results]),
  };
}
