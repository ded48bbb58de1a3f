/** Versions of objects: finding the one that is meant, and adding one as the bucket's versioning says. */
import { randomBytes } from 'node:crypto';
import type { Bucket } from '../storage/bucket.ts';
import type { ObjectVersion } from '../storage/records.ts';
import { nowInSeconds } from './call.ts';
import { S3Error } from './s3-error.ts';

/** The id that the next version in a bucket gets. */
export function nextVersionId(bucket: Bucket): string {
  return bucket.settings.versioning === 'Enabled' ? randomBytes(24).toString('base64url') : 'null';
}

/** Whether answers name versions. */
export function isVersioned(bucket: Bucket): boolean {
  return bucket.settings.versioning !== undefined;
}

/** The object that conditions on a write are about: none where it is deleted. */
export function liveObject(bucket: Bucket, key: string): ObjectVersion | undefined {
  const current = bucket.current(key);
  return current?.deleteMarker === true ? undefined : current;
}

/**
 * The version that a request reads.
 *
 * @throws S3Error NoSuchKey, NoSuchVersion, or MethodNotAllowed for a delete marker that is named
 */
export function findVersion(bucket: Bucket, key: string, versionId: string | undefined): ObjectVersion {
  if (versionId === undefined) {
    const current = bucket.current(key);
    if (current === undefined) throw new S3Error('NoSuchKey', { fields: { Key: key } });
    if (current.deleteMarker === true) {
      throw new S3Error('NoSuchKey', {
        fields: { Key: key },
        headers: { 'x-amz-delete-marker': 'true', 'x-amz-version-id': current.versionId },
      });
    }
    return current;
  }
  const version = bucket.versions(key).find((candidate) => candidate.versionId === versionId);
  if (version === undefined) {
    throw new S3Error('NoSuchVersion', { fields: { Key: key, VersionId: versionId } });
  }
  if (version.deleteMarker === true) {
    throw new S3Error('MethodNotAllowed', {
      headers: {
        allow: 'DELETE',
        'x-amz-delete-marker': 'true',
        'x-amz-version-id': versionId,
        'last-modified': new Date(version.modified).toUTCString(),
      },
    });
  }
  return version;
}

export interface Deleted {
  readonly deleteMarker: boolean;
  /** Of the version that was removed, or of the delete marker that was added. */
  readonly versionId?: string;
}

/** Deletes as the bucket's versioning says; what is not there is deleted already. */
export function deleteVersion(bucket: Bucket, key: string, versionId: string | undefined): Deleted {
  if (versionId !== undefined) {
    const dropped = bucket.drop(key, versionId);
    return { deleteMarker: dropped?.deleteMarker === true, versionId };
  }
  if (!isVersioned(bucket)) {
    bucket.drop(key, 'null');
    return { deleteMarker: false };
  }
  const marker: ObjectVersion = {
    key,
    versionId: nextVersionId(bucket),
    modified: nowInSeconds(),
    size: 0,
    etag: '',
    segments: [],
    headers: {},
    metadata: {},
    storageClass: 'STANDARD',
    encryption: { type: 'AES256' },
    tags: [],
    deleteMarker: true,
  };
  bucket.put(marker);
  return { deleteMarker: true, versionId: marker.versionId };
}
