/** ListParts and ListMultipartUploads. */
import type { Answer } from '../http/answer.ts';
import type { Upload } from '../storage/bucket.ts';
import { toOrder } from '../storage/sorted-keys.ts';
import { renderXml, type XmlNode } from '../xml.ts';
import { findBucket, ownerId, quoted, type S3Call, type S3Service } from './call.ts';
import { nameEncoder, ownerNode, readCount } from './listing.ts';
import { findUpload } from './multipart.ts';

function initiatorNode(service: S3Service): XmlNode {
  return [
    'Initiator',
    [
      ['ID', ownerId(service.settings)],
      ['DisplayName', 'local'],
    ],
  ];
}

export function listParts(service: S3Service, call: S3Call): Answer {
  const { bucket, upload } = findUpload(service, call);
  const { record } = upload;
  const most = readCount(call, 'max-parts', 1000);
  const after = call.query.has('part-number-marker')
    ? readCount(call, 'part-number-marker', Number.MAX_SAFE_INTEGER)
    : 0;
  const rest = [...upload.parts.values()].filter((part) => part.number > after).sort((a, b) => a.number - b.number);
  const shown = rest.slice(0, most);
  return {
    status: 200,
    headers: { 'content-type': 'application/xml' },
    body: renderXml([
      'ListPartsResult',
      [
        ['Bucket', bucket.name],
        ['Key', record.key],
        ['UploadId', record.id],
        ['PartNumberMarker', after],
        ['NextPartNumberMarker', shown.at(-1)?.number ?? after],
        ['MaxParts', most],
        ['IsTruncated', rest.length > shown.length],
        ...shown.map((part): XmlNode => {
          const nodes: XmlNode[] = [
            ['PartNumber', part.number],
            ['LastModified', new Date(part.modified).toISOString()],
            ['ETag', quoted(part.etag)],
            ['Size', part.size],
          ];
          if (part.checksum !== undefined) nodes.push([`Checksum${part.checksum.algorithm}`, part.checksum.value]);
          return ['Part', nodes];
        }),
        initiatorNode(service),
        ownerNode(service),
        ['StorageClass', record.storageClass],
        ['ChecksumAlgorithm', record.checksumAlgorithm],
        ['ChecksumType', record.checksumType],
      ],
    ]),
  };
}

function uploadNode(service: S3Service, { record }: Upload, encode: (name: string) => string): XmlNode {
  return [
    'Upload',
    [
      ['Key', encode(record.key)],
      ['UploadId', record.id],
      initiatorNode(service),
      ownerNode(service),
      ['StorageClass', record.storageClass],
      ['Initiated', new Date(record.initiated).toISOString()],
      ['ChecksumAlgorithm', record.checksumAlgorithm],
      ['ChecksumType', record.checksumType],
    ],
  ];
}

export function listMultipartUploads(service: S3Service, call: S3Call): Answer {
  const bucket = findBucket(service, call.bucketName);
  const { encode, node } = nameEncoder(call);
  const most = readCount(call, 'max-uploads', 1000);
  const prefix = call.query.get('prefix') ?? '';
  const delimiter = call.query.get('delimiter') ?? '';
  const keyMarker = call.query.get('key-marker') ?? '';
  const idMarker = call.query.get('upload-id-marker') ?? '';
  const sorted = [...bucket.uploads()]
    .map((upload) => ({ upload, order: toOrder(upload.record.key) }))
    .filter(({ order }) => order.startsWith(toOrder(prefix)))
    // Uploads of one key stand in the order they were begun; an id tells two of the same moment apart.
    .sort((a, b) => {
      if (a.order !== b.order) return a.order < b.order ? -1 : 1;
      return (
        a.upload.record.initiated - b.upload.record.initiated || (a.upload.record.id < b.upload.record.id ? -1 : 1)
      );
    });
  const markerOrder = toOrder(keyMarker);
  const markerAt = sorted.findIndex(({ upload }) => upload.record.key === keyMarker && upload.record.id === idMarker);
  const after = sorted.filter(({ order }, index) => {
    if (keyMarker === '') return true;
    if (order !== markerOrder) return order > markerOrder;
    return idMarker !== '' && markerAt >= 0 && index > markerAt;
  });
  const nodes: XmlNode[] = [];
  const prefixes: string[] = [];
  let last: Upload | undefined;
  let truncated = false;
  for (const { upload } of after) {
    const { key } = upload.record;
    const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
    const shared = at < 0 ? undefined : key.slice(0, at + delimiter.length);
    if (shared !== undefined && (prefixes.includes(shared) || keyMarker.startsWith(shared))) continue;
    if (nodes.length + prefixes.length >= most) {
      truncated = most > 0;
      break;
    }
    if (shared === undefined) nodes.push(uploadNode(service, upload, encode));
    else prefixes.push(shared);
    last = upload;
  }
  return {
    status: 200,
    headers: { 'content-type': 'application/xml' },
    body: renderXml([
      'ListMultipartUploadsResult',
      [
        ['Bucket', bucket.name],
        ['KeyMarker', encode(keyMarker)],
        ['UploadIdMarker', idMarker],
        ['NextKeyMarker', truncated && last !== undefined ? encode(last.record.key) : undefined],
        ['NextUploadIdMarker', truncated ? last?.record.id : undefined],
        ['Delimiter', delimiter === '' ? undefined : encode(delimiter)],
        ['Prefix', encode(prefix)],
        ['MaxUploads', most],
        node,
        ['IsTruncated', truncated],
        ...nodes,
        ...prefixes.map((shared): XmlNode => ['CommonPrefixes', [['Prefix', encode(shared)]]]),
      ],
    ]),
  };
}
