/** What the sink answers: as much of S3 and KMS as an upload or download looks at. Pure. */
import type { RequestHead } from './request-head.ts';
import type { ServedObject, ServedObjects } from './served-objects.ts';

export interface Answer {
  readonly status: string;
  /** Header lines, each with its line end; Content-Length is added. */
  readonly headers: string;
  readonly body: string;
  /** Bytes of an object instead of the body: [start, end). */
  readonly served?: { readonly object: ServedObject; readonly start: number; readonly end: number };
}

/** The kinds of requests that are counted apart. */
export type RequestKind = 'kmsGenerate' | 'kmsDecrypt' | 'body' | 'other';

/** The one data key that this KMS knows, and its wrapped form. They protect nothing. */
const dataKey = Buffer.from(Array.from({ length: 32 }, (_, i) => i)).toString('base64');
const wrappedKey = Buffer.from('a fixed blob in place of a data key wrapped by KMS').toString('base64');
const keyId = 'arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000001';

const xmlType = 'Content-Type: application/xml\r\n';
const date = 'Sat, 21 Nov 2026 00:00:00 GMT';

export function kindOf(head: RequestHead): RequestKind {
  const target = head.header('x-amz-target');
  if (target?.startsWith('TrentService.GenerateDataKey') === true) return 'kmsGenerate';
  if (target === 'TrentService.Decrypt') return 'kmsDecrypt';
  return head.method === 'PUT' ? 'body' : 'other';
}

export function answerTo(head: RequestHead, objects: ServedObjects): Answer {
  if (head.header('x-amz-target') !== undefined) return kmsAnswer();
  const { key } = head;
  switch (head.method) {
    case 'PUT':
      return { status: '200 OK', headers: 'ETag: "sink-discarded"\r\n', body: '' };
    case 'POST':
      return postAnswer(head, key);
    case 'DELETE':
      return { status: '204 No Content', headers: '', body: '' };
    case 'GET':
    case 'HEAD':
      if (key === '') return listAnswer(objects, head.query('prefix') ?? '');
      if (head.query('uploadId') !== undefined) return failure('404 Not Found', 'NoSuchUpload');
      return objectAnswer(head, objects.find(key));
    default:
      return failure('405 Method Not Allowed', 'MethodNotAllowed');
  }
}

function kmsAnswer(): Answer {
  const body = JSON.stringify({
    CiphertextBlob: wrappedKey,
    Plaintext: dataKey,
    KeyId: keyId,
    EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
  });
  return { status: '200 OK', headers: 'Content-Type: application/x-amz-json-1.1\r\n', body };
}

function postAnswer(head: RequestHead, key: string): Answer {
  if (head.query('uploads') !== undefined) {
    const type = head.header('x-amz-checksum-type');
    return xml(
      `<InitiateMultipartUploadResult><Bucket>bench</Bucket><Key>${escaped(key)}</Key><UploadId>upload</UploadId></InitiateMultipartUploadResult>`,
      // Echoed, as S3 does: it is what makes a client send the checksum of the whole object.
      type === undefined ? '' : `x-amz-checksum-algorithm: CRC32\r\nx-amz-checksum-type: ${type}\r\n`,
    );
  }
  if (head.query('uploadId') !== undefined) {
    return xml(
      `<CompleteMultipartUploadResult><Location>sink</Location><Bucket>bench</Bucket><Key>${escaped(key)}</Key><ETag>&quot;sink-discarded-1&quot;</ETag></CompleteMultipartUploadResult>`,
    );
  }
  if (head.query('delete') !== undefined) return xml('<DeleteResult></DeleteResult>');
  return failure('405 Method Not Allowed', 'MethodNotAllowed');
}

function listAnswer(objects: ServedObjects, prefix: string): Answer {
  const contents = objects
    .list(prefix)
    .map(
      ([key, { length, etag }]) =>
        `<Contents><Key>${escaped(key)}</Key><LastModified>2026-11-21T00:00:00.000Z</LastModified><ETag>${escaped(etag)}</ETag><Size>${length}</Size><StorageClass>STANDARD</StorageClass></Contents>`,
    );
  return xml(
    `<ListBucketResult><Name>bench</Name><Prefix>${escaped(prefix)}</Prefix><KeyCount>${contents.length}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>${contents.join('')}</ListBucketResult>`,
  );
}

function objectAnswer(head: RequestHead, object: ServedObject | undefined): Answer {
  if (object === undefined) return failure('404 Not Found', 'NoSuchKey');
  const { length, etag, metadata } = object;
  const ifMatch = head.header('if-match');
  if (ifMatch !== undefined && ifMatch !== '*' && ifMatch !== etag)
    return failure('412 Precondition Failed', 'PreconditionFailed');
  const range = rangeOf(head.header('range'), length);
  if (range === 'unsatisfiable')
    return failure('416 Requested Range Not Satisfiable', 'InvalidRange', `Content-Range: bytes */${length}\r\n`);
  const { start, end } = range ?? { start: 0, end: length };
  const contentRange = range === undefined ? '' : `Content-Range: bytes ${start}-${end - 1}/${length}\r\n`;
  return {
    status: range === undefined ? '200 OK' : '206 Partial Content',
    headers: `Content-Type: application/octet-stream\r\nAccept-Ranges: bytes\r\nLast-Modified: ${date}\r\nETag: ${etag}\r\n${contentRange}${metadata}`,
    body: '',
    served: { object, start, end },
  };
}

/** A single range of bytes (RFC 9110, section 14.1.2); what is none is ignored, as HTTP says. */
export function rangeOf(
  header: string | undefined,
  length: number,
): { start: number; end: number } | 'unsatisfiable' | undefined {
  const found = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (found === null) return undefined;
  const [first, last] = [found[1] as string, found[2] as string];
  if (first === '' && last === '') return undefined;
  const start = first === '' ? Math.max(0, length - Number(last)) : Number(first);
  const end = first === '' || last === '' ? length : Math.min(Number(last) + 1, length);
  return start < end ? { start, end } : 'unsatisfiable';
}

function xml(content: string, headers = ''): Answer {
  return { status: '200 OK', headers: xmlType + headers, body: `<?xml version="1.0" encoding="UTF-8"?>${content}` };
}

function failure(status: string, code: string, headers = ''): Answer {
  return {
    status,
    headers: xmlType + headers,
    body: `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>the benchmark's sink says ${code}</Message></Error>`,
  };
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
