/** Which operation a request asks for. What is not in this table is answered 501, by name. */
import type { RequestHead } from '../http/request-head.ts';

/** AWS's names of what is implemented. */
export type S3Operation =
  | 'ListBuckets'
  | 'GetBucketLocation'
  | 'GetBucketVersioning'
  | 'PutBucketVersioning'
  | 'GetBucketEncryption'
  | 'PutBucketEncryption'
  | 'DeleteBucketEncryption'
  | 'GetBucketPolicy'
  | 'PutBucketPolicy'
  | 'DeleteBucketPolicy'
  | 'ListMultipartUploads'
  | 'ListObjectVersions'
  | 'DeleteObjects'
  | 'ListObjectsV2'
  | 'ListObjects'
  | 'HeadBucket'
  | 'CreateBucket'
  | 'DeleteBucket'
  | 'UploadPartCopy'
  | 'UploadPart'
  | 'CreateMultipartUpload'
  | 'CompleteMultipartUpload'
  | 'AbortMultipartUpload'
  | 'ListParts'
  | 'GetObjectTagging'
  | 'PutObjectTagging'
  | 'DeleteObjectTagging'
  | 'GetObjectAttributes'
  | 'CopyObject'
  | 'PutObject'
  | 'GetObject'
  | 'HeadObject'
  | 'DeleteObject';

/** The part of S3 an operation works on. */
export type Level = 'service' | 'bucket' | 'object';

export interface OperationRule {
  readonly name: S3Operation;
  readonly method: string;
  readonly level: Level;
  /** Query parameter that must be there; all of them where there are several. */
  readonly marks?: readonly string[];
  /** A header that must be there. */
  readonly header?: string;
  /** Query parameters it takes beside `marks`. Any other is refused by name, as passing over one could change the meaning. */
  readonly query?: readonly string[];
}

const responseOverrides = [
  'response-cache-control',
  'response-content-disposition',
  'response-content-encoding',
  'response-content-language',
  'response-content-type',
  'response-expires',
];
const listing = ['delimiter', 'encoding-type', 'max-keys', 'prefix'];
const readable = ['partNumber', 'versionId', ...responseOverrides];

// The first that fits is taken, so the more specific ones stand first.
const rules: readonly OperationRule[] = [
  {
    name: 'ListBuckets',
    method: 'GET',
    level: 'service',
    query: ['max-buckets', 'continuation-token', 'prefix', 'bucket-region'],
  },

  { name: 'GetBucketLocation', method: 'GET', level: 'bucket', marks: ['location'] },
  { name: 'GetBucketVersioning', method: 'GET', level: 'bucket', marks: ['versioning'] },
  { name: 'PutBucketVersioning', method: 'PUT', level: 'bucket', marks: ['versioning'] },
  { name: 'GetBucketEncryption', method: 'GET', level: 'bucket', marks: ['encryption'] },
  { name: 'PutBucketEncryption', method: 'PUT', level: 'bucket', marks: ['encryption'] },
  { name: 'DeleteBucketEncryption', method: 'DELETE', level: 'bucket', marks: ['encryption'] },
  { name: 'GetBucketPolicy', method: 'GET', level: 'bucket', marks: ['policy'] },
  { name: 'PutBucketPolicy', method: 'PUT', level: 'bucket', marks: ['policy'] },
  { name: 'DeleteBucketPolicy', method: 'DELETE', level: 'bucket', marks: ['policy'] },
  {
    name: 'ListMultipartUploads',
    method: 'GET',
    level: 'bucket',
    marks: ['uploads'],
    query: ['delimiter', 'encoding-type', 'key-marker', 'max-uploads', 'prefix', 'upload-id-marker'],
  },
  {
    name: 'ListObjectVersions',
    method: 'GET',
    level: 'bucket',
    marks: ['versions'],
    query: [...listing, 'key-marker', 'version-id-marker'],
  },
  { name: 'DeleteObjects', method: 'POST', level: 'bucket', marks: ['delete'] },
  {
    name: 'ListObjectsV2',
    method: 'GET',
    level: 'bucket',
    marks: ['list-type'],
    query: [...listing, 'continuation-token', 'fetch-owner', 'start-after'],
  },
  { name: 'ListObjects', method: 'GET', level: 'bucket', query: [...listing, 'marker'] },
  { name: 'HeadBucket', method: 'HEAD', level: 'bucket' },
  { name: 'CreateBucket', method: 'PUT', level: 'bucket' },
  { name: 'DeleteBucket', method: 'DELETE', level: 'bucket' },

  {
    name: 'UploadPartCopy',
    method: 'PUT',
    level: 'object',
    marks: ['partNumber', 'uploadId'],
    header: 'x-amz-copy-source',
  },
  { name: 'UploadPart', method: 'PUT', level: 'object', marks: ['partNumber', 'uploadId'] },
  { name: 'CreateMultipartUpload', method: 'POST', level: 'object', marks: ['uploads'] },
  { name: 'CompleteMultipartUpload', method: 'POST', level: 'object', marks: ['uploadId'] },
  { name: 'AbortMultipartUpload', method: 'DELETE', level: 'object', marks: ['uploadId'] },
  {
    name: 'ListParts',
    method: 'GET',
    level: 'object',
    marks: ['uploadId'],
    query: ['max-parts', 'part-number-marker'],
  },
  { name: 'GetObjectTagging', method: 'GET', level: 'object', marks: ['tagging'], query: ['versionId'] },
  { name: 'PutObjectTagging', method: 'PUT', level: 'object', marks: ['tagging'], query: ['versionId'] },
  { name: 'DeleteObjectTagging', method: 'DELETE', level: 'object', marks: ['tagging'], query: ['versionId'] },
  { name: 'GetObjectAttributes', method: 'GET', level: 'object', marks: ['attributes'], query: ['versionId'] },
  { name: 'CopyObject', method: 'PUT', level: 'object', header: 'x-amz-copy-source' },
  { name: 'PutObject', method: 'PUT', level: 'object' },
  { name: 'GetObject', method: 'GET', level: 'object', query: readable },
  { name: 'HeadObject', method: 'HEAD', level: 'object', query: readable },
  { name: 'DeleteObject', method: 'DELETE', level: 'object', query: ['versionId'] },
];

export interface IdentifiedOperation {
  /** AWS's name, or method and sub-resource where this endpoint knows none. */
  readonly name: string;
  /** Undefined for what is not implemented. */
  readonly operation?: S3Operation;
  /** Why it is not. */
  readonly refusal?: string;
}

// Sub-resources that select another operation. AWS's names follow one pattern for most of them.
const otherSubResources: Readonly<Record<string, string>> = {
  accelerate: 'AccelerateConfiguration',
  acl: 'Acl',
  analytics: 'AnalyticsConfiguration',
  cors: 'Cors',
  intelligentTiering: 'IntelligentTieringConfiguration',
  'intelligent-tiering': 'IntelligentTieringConfiguration',
  inventory: 'InventoryConfiguration',
  'legal-hold': 'LegalHold',
  lifecycle: 'LifecycleConfiguration',
  logging: 'Logging',
  metadataConfiguration: 'MetadataConfiguration',
  metadataTable: 'MetadataTableConfiguration',
  metrics: 'MetricsConfiguration',
  notification: 'NotificationConfiguration',
  'object-lock': 'ObjectLockConfiguration',
  ownershipControls: 'OwnershipControls',
  policyStatus: 'PolicyStatus',
  publicAccessBlock: 'PublicAccessBlock',
  renameObject: 'RenameObject',
  replication: 'Replication',
  requestPayment: 'RequestPayment',
  restore: 'RestoreObject',
  retention: 'Retention',
  select: 'SelectObjectContent',
  session: 'CreateSession',
  tagging: 'Tagging',
  torrent: 'Torrent',
  website: 'Website',
};

function otherName(method: string, level: Level, query: ReadonlySet<string>): string | undefined {
  const found = [...query].find((name) => Object.hasOwn(otherSubResources, name));
  if (found === undefined) return undefined;
  const noun = otherSubResources[found]!;
  if (['RestoreObject', 'SelectObjectContent', 'CreateSession', 'RenameObject'].includes(noun)) return noun;
  const verb = { GET: 'Get', PUT: 'Put', DELETE: 'Delete', POST: 'Post', HEAD: 'Head' }[method] ?? method;
  return `${verb}${level === 'bucket' ? 'Bucket' : 'Object'}${noun}`;
}

// Set by clients on any request; none of them changes what is asked.
const alwaysAllowed: ReadonlySet<string> = new Set(['x-id', 'x-amz-security-token']);

function isAllowed(name: string): boolean {
  // Parameters of a presigned URL, and headers that were put into one.
  return alwaysAllowed.has(name) || /^x-amz-/i.test(name);
}

export function identifyOperation(head: RequestHead, level: Level): IdentifiedOperation {
  const query = new Set(head.parameters.map(([name]) => name));
  const hasHeader = (name: string): boolean => head.headers.has(name) || query.has(name);
  const rule = rules.find(
    (candidate) =>
      candidate.method === head.method &&
      candidate.level === level &&
      (candidate.marks ?? []).every((mark) => query.has(mark)) &&
      (candidate.header === undefined || hasHeader(candidate.header)),
  );
  const unknown = [...query].filter(
    (name) => !isAllowed(name) && !rule?.marks?.includes(name) && !rule?.query?.includes(name),
  );
  if (rule !== undefined && unknown.length === 0) return { name: rule.name, operation: rule.name };
  const name: string =
    otherName(head.method, level, query) ??
    (head.method === 'POST' && level === 'bucket' && unknown.length === 0 ? 'PostObject' : undefined) ??
    (rule === undefined
      ? `${head.method} ${unknown.map((parameter) => `?${parameter}`).join('') || level}`
      : rule.name);
  const refusal =
    rule !== undefined && name === rule.name
      ? `${name} with the query parameter ${unknown.join(', ')} is not implemented by this local endpoint.`
      : `${name} is not implemented by this local endpoint.`;
  return { name, refusal };
}
