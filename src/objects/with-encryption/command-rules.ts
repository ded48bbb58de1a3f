/** Which commands an encrypting client handles, passes and refuses. Whatever is not known is refused: nothing goes out in the clear by default. */

/** Commands whose input, answer or both are changed. */
export type HandledCommand =
  | 'PutObject'
  | 'GetObject'
  | 'HeadObject'
  | 'ListObjects'
  | 'ListObjectsV2'
  | 'DeleteObject'
  | 'DeleteObjects'
  | 'CopyObject'
  | 'CreateMultipartUpload'
  | 'UploadPart'
  | 'CompleteMultipartUpload'
  | 'AbortMultipartUpload';

const handled: ReadonlySet<string> = new Set<HandledCommand>([
  'PutObject',
  'GetObject',
  'HeadObject',
  'ListObjects',
  'ListObjectsV2',
  'DeleteObject',
  'DeleteObjects',
  'CopyObject',
  'CreateMultipartUpload',
  'UploadPart',
  'CompleteMultipartUpload',
  'AbortMultipartUpload',
]);

/** Known by name to say nothing about content or its length. */
const passed: ReadonlySet<string> = new Set([
  'CreateSession',
  'DeleteObjectTagging',
  'DeletePublicAccessBlock',
  'GetObjectAcl',
  'GetObjectLegalHold',
  'GetObjectLockConfiguration',
  'GetObjectRetention',
  'GetObjectTagging',
  'GetPublicAccessBlock',
  'HeadBucket',
  'ListBuckets',
  'ListDirectoryBuckets',
  'ListMultipartUploads',
  'PutObjectAcl',
  'PutObjectLegalHold',
  'PutObjectLockConfiguration',
  'PutObjectRetention',
  'PutObjectTagging',
  'PutPublicAccessBlock',
  'RestoreObject',
]);

const bucketSettings = /^(Create|Delete|Get|List|Put|Update)Bucket[A-Za-z]*$/;

const refusals: Readonly<Record<string, string>> = {
  UploadPartCopy:
    'a part that S3 copies itself would be plaintext, or ciphertext of another key: copy whole objects with CopyObject, or read and upload them',
  SelectObjectContent: 'S3 would run the query over ciphertext: read the object (or a part of it) and select here',
  WriteGetObjectResponse: 'what an Object Lambda writes would not be encrypted: use a client of its own for it',
  GetObjectAttributes:
    'its sizes and checksums are those of the ciphertext: use HeadObject for the plaintext length, or another client for the stored one',
  ListObjectVersions: 'its sizes are those of the ciphertext: use another client where that is what you want',
  ListParts:
    'its sizes and ETags are those of the stored parts, which need not be yours: use another client where that is what you want',
  GetObjectTorrent: 'it would give away ciphertext in pieces: use GetObject',
  RenameObject: 'the instruction file and the segment index would stay behind: copy and delete',
};

/** What a command does only with some inputs, and is refused for then. */
const refusedInputs: Readonly<Record<string, (input: object) => string | undefined>> = {
  PutObject: ({ WriteOffsetBytes }: { WriteOffsetBytes?: unknown }) =>
    WriteOffsetBytes === undefined
      ? undefined
      : 'what is appended (WriteOffsetBytes) would be a second message behind the tag of the first, and neither could be read: put the object as a whole',
  RestoreObject: ({ RestoreRequest }: { RestoreRequest?: { Type?: string; SelectParameters?: unknown } }) =>
    RestoreRequest?.Type === undefined && RestoreRequest?.SelectParameters === undefined
      ? undefined
      : 'S3 would run the query over ciphertext: restore the object, read it and select here',
};

/** @returns why a command is refused; undefined for one that is handled or passed */
export function refusal(command: string, input: object = {}): string | undefined {
  const forInput = refusedInputs[command]?.(input);
  if (forInput !== undefined) return forInput;
  if (handled.has(command) || passed.has(command) || bucketSettings.test(command)) return undefined;
  return (
    refusals[command] ??
    'it is not known to keep objects encrypted: use another client for it where you are sure that it does no harm'
  );
}

export function isHandled(command: string): command is HandledCommand {
  return handled.has(command);
}
