/** What a request says about an object beside its bytes, and what answers say of it. */
import { checksumHeader } from '../../checksums/checksum.ts';
import type { ObjectProperties, ObjectVersion, Tag } from '../storage/records.ts';
import type { S3Call, S3Service } from './call.ts';
import { metadataHeaders, readMetadata } from './metadata.ts';
import { S3Error } from './s3-error.ts';

const systemHeaders = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'expires',
  'x-amz-website-redirect-location',
];

// Those from which an object can be read at once. The others would have to be restored first, which is not there.
const storageClasses = [
  'STANDARD',
  'REDUCED_REDUNDANCY',
  'STANDARD_IA',
  'ONEZONE_IA',
  'INTELLIGENT_TIERING',
  'GLACIER_IR',
];

/** Content-Type and its like, and user metadata. */
export function readHeaders(call: S3Call): Pick<ObjectProperties, 'headers' | 'metadata'> {
  const headers: Record<string, string> = {};
  for (const name of systemHeaders) {
    const value = name === 'content-encoding' ? storedEncoding(call.header(name)) : call.header(name);
    if (value !== undefined && value !== '') headers[name] = value;
  }
  headers['content-type'] ??= 'binary/octet-stream';
  return { headers, metadata: readMetadata(call.headers) };
}

// The framing is of the request, not of the object.
function storedEncoding(value: string | undefined): string | undefined {
  const kept = value
    ?.split(',')
    .map((coding) => coding.trim())
    .filter((coding) => coding.toLowerCase() !== 'aws-chunked');
  return kept?.join(',');
}

export function readStorageClass(call: S3Call): string {
  const storageClass = call.header('x-amz-storage-class') ?? 'STANDARD';
  if (storageClasses.includes(storageClass)) return storageClass;
  if (['GLACIER', 'DEEP_ARCHIVE', 'OUTPOSTS', 'SNOW', 'EXPRESS_ONEZONE', 'FSX_OPENZFS'].includes(storageClass)) {
    throw new S3Error('NotImplemented', {
      message: `The storage class ${storageClass} is not implemented by this local endpoint.`,
    });
  }
  throw new S3Error('InvalidStorageClass');
}

/** Checks tags by S3's rules. @throws S3Error InvalidTag */
export function checkTags(tags: readonly Tag[]): readonly Tag[] {
  if (tags.length > 10) throw new S3Error('InvalidTag', { message: 'Object tags cannot be greater than 10' });
  const names = new Set<string>();
  for (const [name, value] of tags) {
    if (name.length < 1 || name.length > 128)
      throw new S3Error('InvalidTag', { message: 'The TagKey you have provided is invalid' });
    if (value.length > 256) throw new S3Error('InvalidTag', { message: 'The TagValue you have provided is invalid' });
    if (name.toLowerCase().startsWith('aws:')) {
      throw new S3Error('InvalidTag', { message: 'System tags cannot be added/updated by requester' });
    }
    if (names.has(name)) throw new S3Error('InvalidTag', { message: 'Cannot provide multiple Tags with the same key' });
    names.add(name);
  }
  return tags;
}

export function readTagging(call: S3Call): readonly Tag[] {
  const header = call.header('x-amz-tagging');
  if (header === undefined || header === '') return [];
  return checkTags([...new URLSearchParams(Buffer.from(header, 'latin1').toString('utf8'))]);
}

// S3's answer on a bucket that was made without object lock, which here is every one.
export function refuseObjectLock(call: S3Call): void {
  for (const name of [
    'x-amz-object-lock-mode',
    'x-amz-object-lock-retain-until-date',
    'x-amz-object-lock-legal-hold',
  ]) {
    if (call.header(name) !== undefined) {
      throw new S3Error('InvalidRequest', { message: 'Bucket is missing Object Lock Configuration' });
    }
  }
}

/** Lets pass what means the owner alone, as S3 does on buckets whose ACLs are switched off. */
export function checkAcl(call: S3Call): void {
  const acl = call.header('x-amz-acl');
  const grants = [...call.headers.keys()].some((name) => name.startsWith('x-amz-grant-'));
  if (grants || (acl !== undefined && acl !== 'private' && acl !== 'bucket-owner-full-control')) {
    throw new S3Error('AccessControlListNotSupported');
  }
}

/** The headers that describe a version in answers to GET and HEAD. */
export function describingHeaders(
  service: S3Service,
  version: ObjectVersion,
  options: { readonly versioned: boolean },
): Record<string, string> {
  return {
    etag: `"${version.etag}"`,
    'last-modified': new Date(version.modified).toUTCString(),
    'accept-ranges': 'bytes',
    ...version.headers,
    ...metadataHeaders(version.metadata, { raw: service.settings.rawMetadata }),
    ...(version.storageClass === 'STANDARD' ? {} : { 'x-amz-storage-class': version.storageClass }),
    ...(version.tags.length === 0 ? {} : { 'x-amz-tagging-count': String(version.tags.length) }),
    ...(options.versioned ? { 'x-amz-version-id': version.versionId } : {}),
  };
}

/** The headers that give an object's checksum. */
export function checksumHeaders(version: Pick<ObjectVersion, 'checksum'>): Record<string, string> {
  if (version.checksum === undefined) return {};
  const { algorithm, value, type } = version.checksum;
  return { [checksumHeader(algorithm)]: value, 'x-amz-checksum-type': type };
}
