/** The operations on an object's tags. */
import type { Answer } from '../http/answer.ts';
import type { Bucket } from '../storage/bucket.ts';
import type { ObjectVersion, Tag } from '../storage/records.ts';
import { renderXml, type XmlNode } from '../xml.ts';
import { findBucket, interpret, type S3Call, type S3Service } from './call.ts';
import { checkTags } from './properties.ts';
import { findVersion, isVersioned } from './versions.ts';

function find(
  service: S3Service,
  call: S3Call,
): { bucket: Bucket; version: ObjectVersion; headers: Record<string, string> } {
  const bucket = findBucket(service, call.bucketName);
  const version = findVersion(bucket, call.key, call.query.get('versionId'));
  return { bucket, version, headers: isVersioned(bucket) ? { 'x-amz-version-id': version.versionId } : {} };
}

export function getObjectTagging(service: S3Service, call: S3Call): Answer {
  const { version, headers } = find(service, call);
  const tags = version.tags.map(
    ([key, value]): XmlNode => [
      'Tag',
      [
        ['Key', key],
        ['Value', value],
      ],
    ],
  );
  return {
    status: 200,
    headers: { ...headers, 'content-type': 'application/xml' },
    body: renderXml(['Tagging', [['TagSet', tags]]]),
  };
}

export async function putObjectTagging(service: S3Service, call: S3Call): Promise<Answer> {
  const document = await call.document('Tagging');
  const tags = interpret(document, (element) =>
    (element.child('TagSet')?.all('Tag') ?? []).map((tag): Tag => [tag.required('Key'), tag.required('Value')]),
  );
  checkTags(tags);
  const { bucket, version, headers } = find(service, call);
  bucket.change({ ...version, tags });
  return { status: 200, headers };
}

export function deleteObjectTagging(service: S3Service, call: S3Call): Answer {
  const { bucket, version, headers } = find(service, call);
  bucket.change({ ...version, tags: [] });
  return { status: 204, headers };
}
