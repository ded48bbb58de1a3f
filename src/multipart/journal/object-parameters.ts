/** What a call says of the object, as far as it has to be the same when a journalled upload goes on. Pure. */
import { createHmac } from 'node:crypto';
import type { UploadParams } from '../upload-requests.ts';

const label = 'sealpipe upload journal: parameters v1';

/**
 * A digest of the parameters that CreateMultipartUpload carries: what they say is fixed then, whatever a later call says. Keyed, as a key of
 * SSE-C can be among them and the digest stands in the clear.
 * @param key that of the journal
 */
export function objectParametersDigest(key: Uint8Array, params: UploadParams): string {
  const {
    // The header has these.
    Bucket,
    Key,
    // Sent with requests of the later call, or not at all.
    IfMatch,
    IfNoneMatch,
    ContentLength,
    RequestPayer,
    ExpectedBucketOwner,
    // Follows from the key.
    SSECustomerKeyMD5,
    ...said
  } = params;
  return createHmac('sha256', key)
    .update(`${label}\0${JSON.stringify(canonical(said))}`)
    .digest('base64');
}

/** The same for objects that say the same: without order of names, and with nothing for what is undefined. */
function canonical(value: unknown): unknown {
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(canonical);
  return Object.entries(value)
    .filter(([, each]) => each !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, each]: [string, unknown]) => [name, canonical(each)]);
}
