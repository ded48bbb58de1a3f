/** ListObjectVersions. */
import type { Answer } from '../http/answer.ts';
import type { Bucket } from '../storage/bucket.ts';
import type { ObjectVersion } from '../storage/records.ts';
import { fromOrder, toOrder } from '../storage/sorted-keys.ts';
import type { XmlNode } from '../xml.ts';
import { findBucket, quoted, type S3Call, type S3Service } from './call.ts';
import { afterMarker, lines, nameEncoder, ownerNode, readCount, readWindow, xmlAnswer } from './listing.ts';

function versionNode(service: S3Service, bucket: Bucket, version: ObjectVersion, name: string): XmlNode {
  const common: XmlNode[] = [
    ['Key', name],
    ['VersionId', version.versionId],
    ['IsLatest', bucket.current(version.key) === version],
    ['LastModified', new Date(version.modified).toISOString()],
  ];
  if (version.deleteMarker === true) return ['DeleteMarker', [...common, ownerNode(service)]];
  return [
    'Version',
    [
      ...common,
      ['ETag', quoted(version.etag)],
      ['ChecksumAlgorithm', version.checksum?.algorithm],
      ['ChecksumType', version.checksum?.type],
      ['Size', version.size],
      ['StorageClass', version.storageClass],
      ownerNode(service),
    ],
  ];
}

export function listObjectVersions(service: S3Service, call: S3Call): Answer {
  const bucket = findBucket(service, call.bucketName);
  const { encode, node } = nameEncoder(call);
  const most = readCount(call, 'max-keys', 1000);
  const window = readWindow(call);
  const keyMarker = call.query.get('key-marker') ?? '';
  const versionMarker = call.query.get('version-id-marker') ?? '';
  // With a version marker the listing goes on within its key.
  const start = keyMarker === '' ? '' : versionMarker === '' ? afterMarker(keyMarker, window) : toOrder(keyMarker);
  const nodes: XmlNode[] = [];
  const prefixes: XmlNode[] = [];
  let truncatedAt: { key: string; version: string | undefined } | undefined;
  let last: { key: string; version: string | undefined } = { key: '', version: undefined };
  outer: for (const line of most === 0 ? [] : lines(bucket, { ...window, start }, () => true)) {
    const name = fromOrder(line.order);
    if (line.kind === 'prefix') {
      if (nodes.length + prefixes.length === most) {
        truncatedAt = last;
        break;
      }
      prefixes.push(['CommonPrefixes', [['Prefix', encode(name)]]]);
      last = { key: name, version: undefined };
      continue;
    }
    let versions = bucket.versions(name);
    if (name === keyMarker && versionMarker !== '') {
      versions = versions.slice(versions.findIndex((version) => version.versionId === versionMarker) + 1);
    }
    for (const version of versions) {
      if (nodes.length + prefixes.length === most) {
        truncatedAt = last;
        break outer;
      }
      nodes.push(versionNode(service, bucket, version, encode(name)));
      last = { key: name, version: version.versionId };
    }
  }
  const delimiter = call.query.get('delimiter');
  return xmlAnswer([
    'ListVersionsResult',
    [
      ['Name', bucket.name],
      ['Prefix', encode(call.query.get('prefix') ?? '')],
      ['KeyMarker', encode(keyMarker)],
      ['VersionIdMarker', versionMarker],
      ['NextKeyMarker', truncatedAt === undefined ? undefined : encode(truncatedAt.key)],
      ['NextVersionIdMarker', truncatedAt?.version],
      ['MaxKeys', most],
      ['Delimiter', delimiter === undefined || delimiter === '' ? undefined : encode(delimiter)],
      node,
      ['IsTruncated', truncatedAt !== undefined],
      ...nodes,
      ...prefixes,
    ],
  ]);
}
