/** Who may do what: the deny list of a key pair, and the policies of buckets. */

import type { Answer } from '../http/answer.ts';
import { isDenied, principalArn } from '../kms/access.ts';
import { PolicyProblem, type PolicyStatement, PolicyUnsupported, parsePolicy } from '../policy/document.ts';
import { evaluatePolicy } from '../policy/evaluate.ts';
import { findBucket, type S3Call, type S3Service } from './call.ts';
import type { S3Operation } from './operations.ts';
import { receiveSmall } from './receive.ts';
import { S3Error } from './s3-error.ts';

const queryKeys: Readonly<Record<string, string>> = {
  's3:prefix': 'prefix',
  's3:delimiter': 'delimiter',
  's3:max-keys': 'max-keys',
  's3:versionid': 'versionId',
};
const headerKeys: Readonly<Record<string, string>> = { 's3:if-match': 'if-match', 's3:if-none-match': 'if-none-match' };
const otherKeys = [
  'aws:securetransport',
  'aws:principalarn',
  'aws:principalaccount',
  's3:resourceaccount',
  's3:objectcreationoperation',
];

/** Condition keys (in lower case) that requests can be asked for. */
function supportsS3ConditionKey(key: string): boolean {
  return key.startsWith('s3:x-amz-') || key in queryKeys || key in headerKeys || otherKeys.includes(key);
}

const creating: readonly S3Operation[] = ['PutObject', 'CopyObject', 'CompleteMultipartUpload'];

function conditionValue(service: S3Service, call: S3Call, operation: S3Operation, key: string): string | undefined {
  // Headers of the request alone count: what a bucket's default would add is not there yet.
  if (key.startsWith('s3:x-amz-')) return call.header(key.slice('s3:'.length));
  const query = queryKeys[key];
  if (query !== undefined) return call.query.get(query);
  const header = headerKeys[key];
  if (header !== undefined) return call.header(header);
  switch (key) {
    case 'aws:securetransport':
      return String(call.head.secure);
    case 'aws:principalarn':
      return principalArn(call.identity, service.settings.accountId);
    case 'aws:principalaccount':
    case 's3:resourceaccount':
      return service.settings.accountId;
    case 's3:objectcreationoperation':
      return creating.includes(operation) ? 'true' : undefined;
    default:
      return undefined;
  }
}

// Where the permission has another name than the operation ("Required permissions for Amazon S3 API operations", user guide).
const permissions: Readonly<Partial<Record<S3Operation, string>>> = {
  ListBuckets: 'ListAllMyBuckets',
  HeadBucket: 'ListBucket',
  ListObjects: 'ListBucket',
  ListObjectsV2: 'ListBucket',
  ListObjectVersions: 'ListBucketVersions',
  ListMultipartUploads: 'ListBucketMultipartUploads',
  ListParts: 'ListMultipartUploadParts',
  HeadObject: 'GetObject',
  CopyObject: 'PutObject',
  CreateMultipartUpload: 'PutObject',
  UploadPart: 'PutObject',
  UploadPartCopy: 'PutObject',
  CompleteMultipartUpload: 'PutObject',
  DeleteObjects: 'DeleteObject',
  GetBucketEncryption: 'GetEncryptionConfiguration',
  PutBucketEncryption: 'PutEncryptionConfiguration',
  DeleteBucketEncryption: 'PutEncryptionConfiguration',
};

/** The permission that an operation needs; on a version that is named it is another one. */
function actionOf(operation: S3Operation, options: { readonly versioned: boolean }): string {
  const action = permissions[operation] ?? operation;
  return `s3:${options.versioned ? action.replace('Object', 'ObjectVersion') : action}`;
}

const parsed = new Map<string, PolicyStatement[]>();

function statementsOf(policy: string | undefined): PolicyStatement[] {
  if (policy === undefined) return [];
  let statements = parsed.get(policy);
  if (statements === undefined) {
    statements = parsePolicy(policy, supportsS3ConditionKey);
    if (parsed.size > 1000) parsed.clear();
    parsed.set(policy, statements);
  }
  return statements;
}

interface Access {
  readonly operation: S3Operation;
  readonly action: string;
  readonly bucket: string;
  readonly key?: string;
}

/** Why an access is refused, in the words that S3 ends its message with; undefined where it is not. */
function refusal(service: S3Service, call: S3Call, access: Access): string | undefined {
  if (isDenied(call.identity, access.action)) return 'with an explicit deny in an identity-based policy';
  const policy = service.store.get(access.bucket)?.settings.policy;
  if (policy === undefined) return undefined;
  const verdict = evaluatePolicy(statementsOf(policy), {
    principal: principalArn(call.identity, service.settings.accountId),
    accountId: service.settings.accountId,
    action: access.action,
    resource: resourceOf(access),
    value: (key) => conditionValue(service, call, access.operation, key),
  });
  // Everyone here is of the bucket's own account, whose policies allow everything: a bucket's policy can only take away.
  return verdict === 'deny' ? 'with an explicit deny in a resource-based policy' : undefined;
}

function resourceOf({ bucket, key }: Pick<Access, 'bucket' | 'key'>): string {
  return key === undefined || key === '' ? `arn:aws:s3:::${bucket}` : `arn:aws:s3:::${bucket}/${key}`;
}

function authorize(service: S3Service, call: S3Call, access: Access): void {
  const reason = refusal(service, call, access);
  if (reason === undefined) return;
  const principal = principalArn(call.identity, service.settings.accountId);
  throw new S3Error('AccessDenied', {
    message: `User: ${principal} is not authorized to perform: ${access.action} on resource: "${resourceOf(access)}" ${reason}`,
  });
}

/** Operations that tell of an object whether it is there. */
const tellingOperations: readonly S3Operation[] = [
  'GetObject',
  'HeadObject',
  'GetObjectAttributes',
  'GetObjectTagging',
];

/** S3 does not tell who may not list a bucket what is not in it: what an operation has failed with, as they hear it. */
export function concealMissing(service: S3Service, call: S3Call, operation: S3Operation, problem: unknown): unknown {
  if (!(problem instanceof S3Error) || problem.code !== 'NoSuchKey' || !tellingOperations.includes(operation))
    return problem;
  const listing = { operation: 'ListObjectsV2', action: 's3:ListBucket', bucket: call.bucketName } as const;
  return refusal(service, call, listing) === undefined ? problem : new S3Error('AccessDenied');
}

// An owner must be able to take back a policy that locks everybody out.
const alwaysOwners: readonly S3Operation[] = ['GetBucketPolicy', 'PutBucketPolicy', 'DeleteBucketPolicy'];

/** Lets a request pass. @throws S3Error AccessDenied */
export function authorizeOperation(service: S3Service, call: S3Call, operation: S3Operation): void {
  const action = actionOf(operation, { versioned: call.query.has('versionId') });
  if (alwaysOwners.includes(operation)) {
    if (isDenied(call.identity, action)) throw new S3Error('AccessDenied');
    return;
  }
  // Each key of a DeleteObjects is judged by itself.
  if (operation === 'DeleteObjects') return;
  authorize(service, call, { operation, action, bucket: call.bucketName, key: call.key });
}

/** Whether one key of a DeleteObjects may be deleted. */
export function mayDelete(
  service: S3Service,
  call: S3Call,
  target: { readonly key: string; readonly versionId: string | undefined },
): boolean {
  const access: Access = {
    operation: 'DeleteObjects',
    action: actionOf('DeleteObject', { versioned: target.versionId !== undefined }),
    bucket: call.bucketName,
    key: target.key,
  };
  return refusal(service, call, access) === undefined;
}

/** A copy must also be allowed to read its source. @throws S3Error AccessDenied */
export function authorizeCopySource(
  service: S3Service,
  call: S3Call,
  source: { readonly bucket: string; readonly key: string; readonly versionId: string | undefined },
): void {
  const action = actionOf('GetObject', { versioned: source.versionId !== undefined });
  authorize(service, call, { operation: 'GetObject', action, bucket: source.bucket, key: source.key });
}

export function getBucketPolicy(service: S3Service, call: S3Call): Answer {
  const bucket = findBucket(service, call.bucketName);
  const { policy } = bucket.settings;
  if (policy === undefined) throw new S3Error('NoSuchBucketPolicy', { fields: { BucketName: bucket.name } });
  return { status: 200, headers: { 'content-type': 'application/json' }, body: policy };
}

export async function putBucketPolicy(service: S3Service, call: S3Call): Promise<Answer> {
  const policy = (await receiveSmall(call)).toString('utf8');
  try {
    parsePolicy(policy, supportsS3ConditionKey);
  } catch (problem) {
    if (problem instanceof PolicyUnsupported) {
      throw new S3Error('NotImplemented', {
        message: `A bucket policy with ${problem.message} is not implemented by this local endpoint.`,
      });
    }
    if (problem instanceof PolicyProblem)
      throw new S3Error('MalformedPolicy', { message: problem.message, cause: problem });
    throw problem;
  }
  const bucket = findBucket(service, call.bucketName);
  bucket.changeSettings({ ...bucket.settings, policy });
  return { status: 204 };
}

export function deleteBucketPolicy(service: S3Service, call: S3Call): Answer {
  const bucket = findBucket(service, call.bucketName);
  const { policy: _, ...rest } = bucket.settings;
  bucket.changeSettings(rest);
  return { status: 204 };
}
