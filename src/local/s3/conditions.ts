/** Conditional requests, as RFC 9110 §13 has them and S3 documents its departures. */
import { S3Error } from './s3-error.ts';

/** What conditions are about. */
export interface Conditioned {
  /** Without quotes. */
  readonly etag: string;
  /** Milliseconds since 1970, a whole second. */
  readonly modified: number;
}

export interface Conditions {
  readonly ifMatch: string | undefined;
  readonly ifNoneMatch: string | undefined;
  readonly ifModifiedSince: string | undefined;
  readonly ifUnmodifiedSince: string | undefined;
}

/** Whether an ETag is among those of a header, or the header is `*`. Quotes may be missing, as S3 allows. */
export function etagMatches(header: string, etag: string): boolean {
  if (header.trim() === '*') return true;
  return header.split(',').some((entry) => entry.trim().replace(/^W\//, '').replace(/^"|"$/g, '') === etag);
}

function after(date: string, modified: number): boolean | undefined {
  const time = Date.parse(date);
  return Number.isNaN(time) ? undefined : modified > time;
}

/**
 * What a read's conditions come to.
 *
 * @returns undefined where they hold; else 304 or the name of the condition that failed, for a 412
 */
export function judgeRead(conditions: Conditions, object: Conditioned): 304 | string | undefined {
  const { ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince } = conditions;
  // An If-Match that holds makes If-Unmodified-Since void, and an If-None-Match that fails If-Modified-Since.
  if (ifMatch !== undefined) {
    if (!etagMatches(ifMatch, object.etag)) return 'If-Match';
  } else if (ifUnmodifiedSince !== undefined && after(ifUnmodifiedSince, object.modified) === true) {
    return 'If-Unmodified-Since';
  }
  if (ifNoneMatch !== undefined) return etagMatches(ifNoneMatch, object.etag) ? 304 : undefined;
  if (ifModifiedSince !== undefined && after(ifModifiedSince, object.modified) === false) return 304;
  return undefined;
}

/**
 * Refuses a write whose conditions do not hold.
 *
 * @param current what is there under the key, if anything
 * @throws S3Error PreconditionFailed, or NoSuchKey where `If-Match` finds nothing
 */
export function checkWrite(
  conditions: { readonly ifMatch: string | undefined; readonly ifNoneMatch: string | undefined },
  current: Conditioned | undefined,
  key: string,
): void {
  const { ifMatch, ifNoneMatch } = conditions;
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() !== '*') {
      throw new S3Error('NotImplemented', {
        message: 'A header you provided implies functionality that is not implemented',
        fields: {
          Header: 'If-None-Match',
          additionalMessage: "We don't accept the provided value of If-None-Match header for this API",
        },
      });
    }
    if (current !== undefined) throw new S3Error('PreconditionFailed', { fields: { Condition: 'If-None-Match' } });
  }
  if (ifMatch === undefined) return;
  if (current === undefined) throw new S3Error('NoSuchKey', { fields: { Key: key } });
  if (!etagMatches(ifMatch, current.etag))
    throw new S3Error('PreconditionFailed', { fields: { Condition: 'If-Match' } });
}
