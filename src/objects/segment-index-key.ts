/**
 * Under which key an object's segment index lies: `t/part-0.parquet` → `t/.part-0.parquet.segments`. Pure.
 *
 * Hadoop, Hive, Spark and Athena take no name for data that begins with a dot.
 */
import { SealpipeError } from '../errors.ts';

const suffix = '.segments';

/** S3's limit on keys, in bytes of UTF-8. */
const keyLimit = 1024;

/** The key of an object's index; undefined where it can have none: a key that ends in `/`, or would become too long. */
export function segmentIndexKey(key: string): string | undefined {
  const slash = key.lastIndexOf('/') + 1;
  if (slash === key.length) return undefined;
  const index = `${key.slice(0, slash)}.${key.slice(slash)}${suffix}`;
  return Buffer.byteLength(index) > keyLimit ? undefined : index;
}

/** The key of the object that an index key belongs to; undefined for a key of another shape. */
export function indexedObjectKey(key: string): string | undefined {
  const slash = key.lastIndexOf('/') + 1;
  if (key[slash] !== '.' || !key.endsWith(suffix) || key.length - slash <= 1 + suffix.length) return undefined;
  return `${key.slice(0, slash)}${key.slice(slash + 1, -suffix.length)}`;
}

/**
 * Refuses to write an object where an index would lie: it would hide that object, and an index would overwrite it.
 * @throws SealpipeError COMMAND_REFUSED
 */
export function assertNoIndexKey({ Bucket, Key }: { Bucket?: string | undefined; Key?: string | undefined }): void {
  const object = indexedObjectKey(Key ?? '');
  if (object === undefined) return;
  throw new SealpipeError(
    'COMMAND_REFUSED',
    `s3://${Bucket}/${Key} is where the segment index of ${object} lies: give the object another key`,
    { bucket: Bucket, key: Key },
  );
}

/**
 * As {@link segmentIndexKey}, where an index was asked for.
 * @throws SealpipeError COMMAND_REFUSED for a key that can have none
 */
export function requiredIndexKey({ Bucket, Key }: { Bucket: string; Key: string }): string {
  const index = segmentIndexKey(Key);
  if (index !== undefined) return index;
  throw new SealpipeError(
    'COMMAND_REFUSED',
    `s3://${Bucket}/${Key} can have no segment index: ${Key.endsWith('/') ? 'its key ends in a slash' : `the key of its index would have more than ${keyLimit} bytes`}`,
    { bucket: Bucket, key: Key },
  );
}
