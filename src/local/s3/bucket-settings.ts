/** The operations on a bucket's versioning and default encryption. */
import type { Answer } from '../http/answer.ts';
import type { BucketEncryption } from '../storage/records.ts';
import { renderXml, type XmlElement, type XmlNode } from '../xml.ts';
import { findBucket, interpret, type S3Call, type S3Service } from './call.ts';
import { S3Error } from './s3-error.ts';

function xml(root: XmlNode): Answer {
  return { status: 200, headers: { 'content-type': 'application/xml' }, body: renderXml(root) };
}

export function getBucketVersioning(service: S3Service, call: S3Call): Answer {
  const { versioning } = findBucket(service, call.bucketName).settings;
  return xml(['VersioningConfiguration', versioning === undefined ? [] : [['Status', versioning]]]);
}

export async function putBucketVersioning(service: S3Service, call: S3Call): Promise<Answer> {
  const document = await call.document('VersioningConfiguration');
  const status = interpret(document, (element) => {
    if (element.optional('MfaDelete') === 'Enabled') {
      throw new S3Error('NotImplemented', { message: 'MfaDelete is not implemented by this local endpoint.' });
    }
    return element.optional('Status');
  });
  if (status !== 'Enabled' && status !== 'Suspended') throw new S3Error('IllegalVersioningConfigurationException');
  const bucket = findBucket(service, call.bucketName);
  bucket.changeSettings({ ...bucket.settings, versioning: status });
  return { status: 200 };
}

export function getBucketEncryption(service: S3Service, call: S3Call): Answer {
  const encryption: BucketEncryption = findBucket(service, call.bucketName).settings.encryption ?? { type: 'AES256' };
  return xml([
    'ServerSideEncryptionConfiguration',
    [
      [
        'Rule',
        [
          [
            'ApplyServerSideEncryptionByDefault',
            [
              ['SSEAlgorithm', encryption.type],
              ['KMSMasterKeyID', encryption.keyId],
            ],
          ],
          ['BucketKeyEnabled', encryption.bucketKey === true],
          encryption.blockSseC === undefined
            ? undefined
            : ['BlockedEncryptionTypes', [['EncryptionType', encryption.blockSseC ? 'SSE-C' : 'NONE']]],
        ],
      ],
    ],
  ]);
}

function readEncryption(element: XmlElement): BucketEncryption {
  const rules = element.all('Rule');
  if (rules.length !== 1) throw new S3Error('MalformedXML');
  return interpret(rules[0]!, (rule) => {
    const defaults = rule.child('ApplyServerSideEncryptionByDefault');
    const algorithm = defaults?.required('SSEAlgorithm') ?? 'AES256';
    const keyId = defaults?.optional('KMSMasterKeyID');
    if (algorithm !== 'AES256' && algorithm !== 'aws:kms' && algorithm !== 'aws:kms:dsse')
      throw new S3Error('MalformedXML');
    if (algorithm === 'AES256' && keyId !== undefined) {
      throw new S3Error('InvalidArgument', {
        message: 'a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse',
      });
    }
    const bucketKey = rule.optional('BucketKeyEnabled') === 'true';
    const blocked = rule
      .child('BlockedEncryptionTypes')
      ?.all('EncryptionType')
      .map((type) => type.text);
    const unknown = blocked?.find((type) => type !== 'SSE-C' && type !== 'NONE');
    if (unknown !== undefined) throw new S3Error('MalformedXML');
    return {
      type: algorithm,
      ...(keyId === undefined ? {} : { keyId }),
      ...(bucketKey ? { bucketKey } : {}),
      ...(blocked === undefined ? {} : { blockSseC: blocked.includes('SSE-C') }),
    };
  });
}

export async function putBucketEncryption(service: S3Service, call: S3Call): Promise<Answer> {
  const document = await call.document('ServerSideEncryptionConfiguration');
  const encryption = interpret(document, readEncryption);
  const bucket = findBucket(service, call.bucketName);
  // What is not said of blocked types stays as it is.
  const { blockSseC } = bucket.settings.encryption ?? {};
  bucket.changeSettings({
    ...bucket.settings,
    encryption: { ...(blockSseC === undefined ? {} : { blockSseC }), ...encryption },
  });
  return { status: 200 };
}

export function deleteBucketEncryption(service: S3Service, call: S3Call): Answer {
  const bucket = findBucket(service, call.bucketName);
  const { encryption, ...rest } = bucket.settings;
  bucket.changeSettings({
    ...rest,
    ...(encryption?.blockSseC === undefined ? {} : { encryption: { type: 'AES256', blockSseC: encryption.blockSseC } }),
  });
  return { status: 204 };
}
