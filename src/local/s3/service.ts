/** Amazon S3: from a request to the operation it asks for. */
import type { Answer } from '../http/answer.ts';
import { percentDecode, type RequestHead } from '../http/request-head.ts';
import {
  authorizeOperation,
  concealMissing,
  deleteBucketPolicy,
  getBucketPolicy,
  putBucketPolicy,
} from './bucket-policy.ts';
import {
  deleteBucketEncryption,
  getBucketEncryption,
  getBucketVersioning,
  putBucketEncryption,
  putBucketVersioning,
} from './bucket-settings.ts';
import { createBucket, deleteBucket, getBucketLocation, headBucket, listBuckets } from './buckets.ts';
import type { S3Call, S3Service } from './call.ts';
import { completeMultipartUpload } from './completing.ts';
import { copyObject } from './copying.ts';
import { listObjects, listObjectsV2 } from './listing.ts';
import { abortMultipartUpload, createMultipartUpload, uploadPart, uploadPartCopy } from './multipart.ts';
import type { Level, S3Operation } from './operations.ts';
import { getObject, getObjectAttributes, headObject } from './reading.ts';
import { S3Error } from './s3-error.ts';
import { deleteObjectTagging, getObjectTagging, putObjectTagging } from './tagging.ts';
import { listMultipartUploads, listParts } from './upload-listing.ts';
import { listObjectVersions } from './version-listing.ts';
import { deleteObject, deleteObjects, maximumKeyBytes, putObject } from './writing.ts';

type Handler = (service: S3Service, call: S3Call) => Answer | Promise<Answer>;

const handlers: Readonly<Record<S3Operation, Handler>> = {
  ListBuckets: listBuckets,
  CreateBucket: createBucket,
  HeadBucket: headBucket,
  DeleteBucket: deleteBucket,
  GetBucketLocation: getBucketLocation,
  GetBucketVersioning: getBucketVersioning,
  PutBucketVersioning: putBucketVersioning,
  GetBucketEncryption: getBucketEncryption,
  PutBucketEncryption: putBucketEncryption,
  DeleteBucketEncryption: deleteBucketEncryption,
  GetBucketPolicy: getBucketPolicy,
  PutBucketPolicy: putBucketPolicy,
  DeleteBucketPolicy: deleteBucketPolicy,
  ListObjects: listObjects,
  ListObjectsV2: listObjectsV2,
  ListObjectVersions: listObjectVersions,
  ListMultipartUploads: listMultipartUploads,
  DeleteObjects: deleteObjects,
  GetObject: getObject,
  HeadObject: headObject,
  GetObjectAttributes: getObjectAttributes,
  PutObject: putObject,
  CopyObject: copyObject,
  DeleteObject: deleteObject,
  GetObjectTagging: getObjectTagging,
  PutObjectTagging: putObjectTagging,
  DeleteObjectTagging: deleteObjectTagging,
  CreateMultipartUpload: createMultipartUpload,
  UploadPart: uploadPart,
  UploadPartCopy: uploadPartCopy,
  CompleteMultipartUpload: completeMultipartUpload,
  AbortMultipartUpload: abortMultipartUpload,
  ListParts: listParts,
};

/** What a request is about. */
export interface S3Target {
  readonly level: Level;
  /** The decoded path, which the signature is over. */
  readonly path: string;
  readonly bucketName: string;
  readonly key: string;
}

/** Names that stand for the endpoint itself, below which bucket names may stand. */
const roots = ['s3.localhost', 'localhost'];

/** The bucket that a host name holds: `bucket.localhost`, `bucket.s3.localhost`. */
function bucketOfHost(host: string | undefined): string | undefined {
  const name = host?.replace(/:\d+$/, '').toLowerCase();
  if (name === undefined || roots.includes(name)) return undefined;
  const root = roots.find((candidate) => name.endsWith(`.${candidate}`));
  return root === undefined ? undefined : name.slice(0, -root.length - 1);
}

/** Takes path style and virtual-host style apart. @throws UriProblem */
export function readTarget(head: RequestHead): S3Target {
  const path = percentDecode(head.rawPath);
  const hosted = bucketOfHost(head.headers.get('host'));
  let bucketName = hosted ?? '';
  let key = path.slice(1);
  if (hosted === undefined) {
    const slash = key.indexOf('/');
    bucketName = slash < 0 ? key : key.slice(0, slash);
    key = slash < 0 ? '' : key.slice(slash + 1);
  }
  const level: Level = bucketName === '' ? 'service' : key === '' ? 'bucket' : 'object';
  return { level, path, bucketName, key };
}

// Headers that begin with x-amz- and are understood, or make no difference here. Any other could change what is meant.
const knownHeaders: ReadonlySet<string> = new Set(
  [
    'acl bucket-object-lock-enabled bypass-governance-retention checksum-algorithm checksum-mode checksum-type content-sha256',
    'copy-source copy-source-if-match copy-source-if-modified-since copy-source-if-none-match copy-source-if-unmodified-since',
    'copy-source-range copy-source-server-side-encryption-customer-algorithm copy-source-server-side-encryption-customer-key',
    'copy-source-server-side-encryption-customer-key-md5 date decoded-content-length expected-bucket-owner max-parts',
    'metadata-directive mp-object-size object-attributes object-lock-legal-hold object-lock-mode',
    'object-lock-retain-until-date object-ownership optional-object-attributes part-number-marker request-payer sdk-checksum-algorithm',
    'security-token server-side-encryption server-side-encryption-aws-kms-key-id',
    'server-side-encryption-bucket-key-enabled server-side-encryption-context server-side-encryption-customer-algorithm',
    'server-side-encryption-customer-key server-side-encryption-customer-key-md5 source-expected-bucket-owner storage-class',
    // te: the SDK for Java offers to take an MD5 after the body of every GetObject; an offer need not be taken up.
    'tagging tagging-directive te trailer user-agent website-redirect-location',
    // Of a presigned URL.
    'algorithm credential expires signature signedheaders',
    'checksum-crc32 checksum-crc32c checksum-crc64nvme checksum-sha1 checksum-sha256',
    'grant-full-control grant-read grant-read-acp grant-write grant-write-acp',
  ]
    .join(' ')
    .split(' ')
    .map((name) => `x-amz-${name}`),
);

function checkHeaders(service: S3Service, call: S3Call): void {
  const unknown = [...call.headers.keys()].filter(
    (name) => name.startsWith('x-amz-') && !name.startsWith('x-amz-meta-') && !knownHeaders.has(name),
  );
  if (unknown.length > 0) {
    throw new S3Error('NotImplemented', {
      message: `The header ${unknown.join(', ')} is not implemented by this local endpoint.`,
      fields: { Header: unknown.join(', ') },
    });
  }
  for (const name of ['x-amz-expected-bucket-owner', 'x-amz-source-expected-bucket-owner']) {
    const owner = call.header(name);
    if (owner !== undefined && owner !== service.settings.accountId) throw new S3Error('AccessDenied');
  }
}

/** Carries out a request that was identified and authenticated. @throws S3Error */
export async function answerS3(service: S3Service, call: S3Call, operation: S3Operation): Promise<Answer> {
  checkHeaders(service, call);
  const keyBytes = Buffer.byteLength(call.key, 'utf8');
  if (keyBytes > maximumKeyBytes) {
    throw new S3Error('KeyTooLongError', { fields: { Size: keyBytes, MaxSizeAllowed: maximumKeyBytes } });
  }
  authorizeOperation(service, call, operation);
  try {
    return await handlers[operation](service, call);
  } catch (problem) {
    throw concealMissing(service, call, operation, problem);
  }
}
