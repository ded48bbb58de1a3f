/** `s3://bucket/key`. Pure. */
import { maxKeyLength } from '../format/instruction-file.ts';
import { printable } from './printable.ts';
import { UsageError } from './usage-error.ts';

export interface S3Url {
  readonly bucket: string;
  /** As written: nothing in it is decoded. Empty for a bucket alone. */
  readonly key: string;
}

/** Whether an operand means S3, be it well formed or not. */
export function looksLikeS3Url(operand: string): boolean {
  return /^s3:/i.test(operand);
}

/**
 * Takes an operand apart. The key is what follows the first slash after the bucket, taken literally, percent signs included,
 * as object keys hold any character.
 * @throws UsageError
 */
export function parseS3Url(operand: string): S3Url {
  const [, bucket = '', key = ''] = /^s3:\/\/([^/]*)\/?(.*)$/s.exec(operand) ?? [];
  if (bucket === '') throw new UsageError(`${JSON.stringify(operand)} names no place in S3: expected s3://bucket/key`);
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{2,254}$/.test(bucket))
    throw new UsageError(
      `${JSON.stringify(bucket)} cannot be the name of a bucket: it has letters, digits, dots and hyphens, from 3 to 63 of them`,
    );
  if (Buffer.byteLength(key) > maxKeyLength)
    throw new UsageError(`the key has ${Buffer.byteLength(key)} bytes, S3 takes ${maxKeyLength} at most`);
  return { bucket, key };
}

/** As {@link parseS3Url}, of one object. */
export function parseObjectUrl(operand: string): S3Url {
  const url = parseS3Url(operand);
  if (url.key === '') throw new UsageError(`${operand} names a bucket: expected an object, s3://${url.bucket}/key`);
  return url;
}

/** As {@link parseS3Url}, of a bucket. */
export function parseBucketUrl(operand: string): string {
  const url = parseS3Url(operand);
  if (url.key !== '') throw new UsageError(`${operand} names an object: expected a bucket, s3://${url.bucket}`);
  return url.bucket;
}

/** For people. */
export function formatS3Url({ bucket, key }: S3Url): string {
  return printable(`s3://${bucket}/${key}`);
}
