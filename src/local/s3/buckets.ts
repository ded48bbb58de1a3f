/** ListBuckets, CreateBucket, HeadBucket, DeleteBucket and GetBucketLocation. */
import type { Answer } from '../http/answer.ts';
import { renderXml, type XmlNode } from '../xml.ts';
import { findBucket, interpret, nowInSeconds, readDocument, type S3Call, type S3Service } from './call.ts';
import { ownerNode, readCount } from './listing.ts';
import { checkAcl } from './properties.ts';
import { receiveSmall } from './receive.ts';
import { S3Error } from './s3-error.ts';

/** Whether a name is one that S3 gives to new buckets ("Bucket naming rules", Amazon S3 user guide). */
export function isBucketName(name: string): boolean {
  return (
    /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) &&
    !name.includes('..') &&
    !/^\d+\.\d+\.\d+\.\d+$/.test(name) &&
    !/^(xn--|sthree-|amzn-s3-demo-)/.test(name) &&
    !/(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$/.test(name)
  );
}

export function listBuckets(service: S3Service, call: S3Call): Answer {
  const prefix = call.query.get('prefix') ?? '';
  const region = call.query.get('bucket-region');
  const most = readCount(call, 'max-buckets', 10_000);
  const token = call.query.get('continuation-token');
  const after = token === undefined ? '' : Buffer.from(token, 'base64').toString('utf8');
  const matching = service.store
    .list()
    .filter(
      ({ name, settings }) =>
        name.startsWith(prefix) && name > after && (region === undefined || settings.region === region),
    );
  const shown = matching.slice(0, most);
  const last = shown.at(-1);
  return {
    status: 200,
    headers: { 'content-type': 'application/xml' },
    body: renderXml([
      'ListAllMyBucketsResult',
      [
        [
          'Buckets',
          shown.map(
            ({ name, settings }): XmlNode => [
              'Bucket',
              [
                ['Name', name],
                ['CreationDate', new Date(settings.created).toISOString()],
                ['BucketRegion', settings.region],
              ],
            ],
          ),
        ],
        ownerNode(service),
        [
          'ContinuationToken',
          matching.length > shown.length && last !== undefined ? Buffer.from(last.name).toString('base64') : undefined,
        ],
        ['Prefix', prefix === '' ? undefined : prefix],
      ],
    ]),
  };
}

function readLocation(service: S3Service, bytes: Buffer): string {
  if (bytes.length === 0) return service.settings.region;
  const constraint = interpret(readDocument(bytes, 'CreateBucketConfiguration'), (element) =>
    element.optional('LocationConstraint'),
  );
  if (constraint === undefined || constraint === '') return service.settings.region;
  if (!/^[a-z]{2}(-[a-z]+)+-\d$|^EU$/.test(constraint)) throw new S3Error('InvalidLocationConstraint');
  return constraint === 'EU' ? 'eu-west-1' : constraint;
}

export async function createBucket(service: S3Service, call: S3Call): Promise<Answer> {
  const name = call.bucketName;
  if (!isBucketName(name)) throw new S3Error('InvalidBucketName', { fields: { BucketName: name } });
  if (call.flag('x-amz-bucket-object-lock-enabled')) {
    throw new S3Error('NotImplemented', { message: 'Object lock is not implemented by this local endpoint.' });
  }
  const ownership = call.header('x-amz-object-ownership');
  if (ownership !== undefined && ownership !== 'BucketOwnerEnforced') {
    throw new S3Error('NotImplemented', {
      message: `The object ownership ${ownership} is not implemented by this local endpoint.`,
    });
  }
  checkAcl(call);
  const region = readLocation(service, await receiveSmall(call));
  const location = { location: `/${name}` };
  if (service.store.get(name) !== undefined) {
    // In us-east-1 alone, making one's own bucket again succeeds ("CreateBucket", Amazon S3 API reference).
    if (region === 'us-east-1') return { status: 200, headers: location };
    throw new S3Error('BucketAlreadyOwnedByYou', { fields: { BucketName: name } });
  }
  service.store.create({
    name,
    region,
    created: nowInSeconds(),
    ...(service.settings.blockSseC ? { encryption: { type: 'AES256', blockSseC: true } } : {}),
  });
  return { status: 200, headers: location };
}

export function headBucket(service: S3Service, call: S3Call): Answer {
  const bucket = findBucket(service, call.bucketName);
  return {
    status: 200,
    headers: {
      'x-amz-bucket-region': bucket.settings.region,
      'x-amz-access-point-alias': 'false',
      'content-type': 'application/xml',
    },
  };
}

export function deleteBucket(service: S3Service, call: S3Call): Answer {
  const bucket = findBucket(service, call.bucketName);
  if (!bucket.isEmpty) throw new S3Error('BucketNotEmpty', { fields: { BucketName: bucket.name } });
  service.store.remove(bucket.name);
  return { status: 204 };
}

export function getBucketLocation(service: S3Service, call: S3Call): Answer {
  const { region } = findBucket(service, call.bucketName).settings;
  return {
    status: 200,
    headers: { 'content-type': 'application/xml' },
    // For us-east-1 the element is there and empty.
    body: renderXml(['LocationConstraint', region === 'us-east-1' ? [] : region]),
  };
}
